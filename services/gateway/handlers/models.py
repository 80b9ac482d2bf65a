"""What the gateway says about itself and its models."""

from collections.abc import Callable
from typing import Final

from services.gateway.catalog import Catalog, Model
from services.gateway.directory import Directory
from services.gateway.domain.routing import Arm, arm_of_version
from services.gateway.oip import IndexEntry
from services.gateway.permissions import Permissions
from slipway.identity.authenticator import Authenticator
from slipway.identity.caller import Caller
from slipway.identity.credentials import Credentials

_READY: Final = "READY"
_UNAVAILABLE: Final = "UNAVAILABLE"


class Models:
    """Readiness and metadata."""

    def __init__(
        self,
        catalog: Catalog,
        directory: Directory,
        *,
        authenticator: Authenticator,
        permissions: Permissions,
        not_ready: Callable[[], list[str]],
    ) -> None:
        self._catalog = catalog
        self._directory = directory
        self._authenticator = authenticator
        self._permissions = permissions
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

    def describe(self, name: str, version: str, *, credentials: Credentials) -> tuple[Model, list[str]]:
        """A model and the versions meant.

        Raises:
            Unauthenticated: Nobody known.
            NotFound: No such model, or no such version of it.
            Denied: He may not see it.
        """
        caller = self.authenticate(credentials)
        model = self._catalog.find(name, tenant=caller.tenant)
        self._permissions.read(caller, model)
        if version:
            return model, [arm_of_version(model.route, version).version]
        return model, [arm.version for arm in model.route.arms]

    def authenticate(self, credentials: Credentials) -> Caller:
        """Who asks.

        Raises:
            Unauthenticated: Nobody known.
        """
        return self._authenticator.identify(credentials)

    def check_loading(self, *, credentials: Credentials) -> None:
        """Whether the caller may hear that nobody loads models by hand here.

        Raises:
            Unauthenticated: Nobody known.
            Denied: He may not see models at all.
        """
        self._permissions.look_around(self.authenticate(credentials))

    def index(self, *, credentials: Credentials, only_ready: bool) -> list[IndexEntry]:
        """The models that the caller may see and their versions, in order; all, or those with a server.

        Raises:
            Unauthenticated: Nobody known.
        """
        caller = self.authenticate(credentials)
        own = [model for model in self._catalog.models.values() if model.tenant == caller.tenant]
        models = [model for model in own if self._permissions.sees(caller, model)]
        entries = [entry for model in models for entry in self._entries(model)]
        chosen = [entry for entry in entries if entry.state == _READY or not only_ready]
        return sorted(chosen, key=lambda entry: (entry.name, entry.version))

    def _entries(self, model: Model) -> list[IndexEntry]:
        if not model.route.arms:
            reason = "no version is in service yet"
            return [IndexEntry(name=model.name, version="", state=_UNAVAILABLE, reason=reason)]
        return [self._entry(model, arm) for arm in model.route.arms]

    def _entry(self, model: Model, arm: Arm) -> IndexEntry:
        is_ready = self._has_endpoint(model, arm)
        return IndexEntry(
            name=model.name,
            version=arm.version,
            state=_READY if is_ready else _UNAVAILABLE,
            reason="" if is_ready else "no server holds it now",
        )

    def health(self) -> dict[str, bool]:
        """Whether each model is serving."""
        return {name: self.is_ready(name, "") for name in self._catalog.models}

    def _has_endpoint(self, model: Model, arm: Arm) -> bool:
        return bool(self._directory.targets(model.name, arm))
