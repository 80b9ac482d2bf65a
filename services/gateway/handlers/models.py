"""What the gateway says about itself and its models."""

from collections.abc import Callable

from services.gateway.catalog import Catalog, Model
from services.gateway.directory import Directory
from services.gateway.domain.routing import Arm, arm_of_version
from services.gateway.keyring import KeyRing


class Models:
    """Readiness and metadata."""

    def __init__(
        self,
        catalog: Catalog,
        directory: Directory,
        *,
        keyring: KeyRing,
        not_ready: Callable[[], list[str]],
    ) -> None:
        self._catalog = catalog
        self._directory = directory
        self._keyring = keyring
        self._not_ready = not_ready

    def is_server_ready(self) -> bool:
        """Whether the gateway can answer at all."""
        return not self._not_ready()

    def is_ready(self, name: str, version: str) -> bool:
        """Whether a model, or one version of it, has a server; false for what is not known."""
        model = self._catalog.models.get(name)
        if model is None:
            return False
        if not version:
            return any(self._has_endpoint(model, arm) for arm in model.route.sharing)
        return any(arm.version == version and self._has_endpoint(model, arm) for arm in model.route.arms)

    def describe(self, name: str, version: str, *, api_key: str) -> tuple[Model, list[str]]:
        """A model and the versions meant.

        Raises:
            Unauthenticated: No key in force.
            NotFound: No such model, or no such version of it.
        """
        caller = self._keyring.identify(api_key)
        model = self._catalog.find(name, tenant=caller.tenant)
        if version:
            return model, [arm_of_version(model.route, version).version]
        return model, [arm.version for arm in model.route.arms]

    def health(self) -> dict[str, bool]:
        """Whether each model is serving."""
        return {name: self.is_ready(name, "") for name in self._catalog.models}

    def _has_endpoint(self, model: Model, arm: Arm) -> bool:
        return bool(self._directory.targets(model.name, arm))
