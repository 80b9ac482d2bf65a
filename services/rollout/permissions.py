"""What policies are asked about models and their versions where only the handler knows them."""

from dataclasses import replace

from services.rollout.control import Control, Model
from services.rollout.domain.log_entry import Version
from services.rollout.domain.promotion import skipped_approvals
from services.rollout.version_registry import VersionRegistry
from slipway.errors import NotFound
from slipway.identity.caller import Caller
from slipway.policy.engine import Policies
from slipway.policy.gate import remember_decision, seen_model
from slipway.policy.resource import Resource, resource_of


class Permissions:
    """The questions of the control plane."""

    def __init__(self, policies: Policies, control: Control, registry: VersionRegistry) -> None:
        self._policies = policies
        self._control = control
        self._registry = registry

    def find(self, name: str) -> Resource | None:
        """A model as policies see it; None for one that nobody declared.

        Raises:
            Unavailable: This process is a standby.
        """
        try:
            return _resource(self._control.find(name))
        except NotFound:
            return None

    def may_apply(self, who: Caller, model: Resource) -> None:
        """Whether he may declare such a model.

        Raises:
            Denied: He may not.
        """
        self._authorize(who, "apply", model)

    def seen(self, who: Caller) -> list[str]:
        """The models that he may see."""
        _ = self._control.writer
        models = [self._control.find(name) for name in self._control.names]
        return [model.name for model in models if self._policies.allows(who, "read", _resource(model))]

    async def may_approve(self, who: Caller, name: str) -> Version | None:
        """Whether he may sign for the version on its way; returns it, None where there is none.

        Raises:
            NotFound: There is no such model of his.
            Denied: He may not, or he trained, registered or started this version.
            Unavailable: Nobody can tell who trained it: the registry is away.
        """
        model = self._known(who, name)
        subject = model.position.subject if model.position.is_live else None
        if subject is None:
            self._authorize(who, "approve", _resource(model))
            return None
        self._authorize(who, "approve", await self._version(model, subject))
        return subject

    async def may_promote(self, who: Caller, name: str) -> Version | None:
        """Whether he may bring the version up by hand; past an approval only as one who may approve.

        Raises:
            NotFound, Denied, Unavailable: As for `may_approve`.
        """
        model = self._known(who, name)
        self._authorize(who, "rollout", _resource(model))
        if skipped_approvals(model.position, model.policy):
            return await self.may_approve(who, name)
        return None

    def _authorize(self, who: Caller, action: str, resource: Resource) -> None:
        remember_decision(self._policies.authorize(who, action, resource))

    def _known(self, who: Caller, name: str) -> Model:
        seen_model(self.find(name), who, name=name)
        return self._control.find(name)

    async def _version(self, model: Model, subject: Version) -> Resource:
        starters = await self._control.store.load_starters(model.name, subject.version)
        trainers = await self._registry.find_trainers(model.name, subject.version)
        return _resource(model, version=subject.version, trained_by=tuple(sorted({*starters, *trainers})))


def _resource(model: Model, *, version: str = "", trained_by: tuple[str, ...] = ()) -> Resource:
    plain = resource_of(model.spec, tenant=model.row.tenant)
    return replace(plain, version=version, trained_by=trained_by) if version else plain
