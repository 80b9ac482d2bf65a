"""What an action is done to, as policies see it."""

from dataclasses import dataclass
from typing import Final

from slipway.spec import Spec

# No tenant has this name: only who serves all tenants may touch what belongs to all.
EVERY_TENANT: Final = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A model, a version of it, or, without a model's name, a tenant.

    Attributes:
        tenant: Whose it is.
        model: The model's name; empty: the tenant itself, for keys, limits and the like.
        version: One version of the model; empty: the model.
        data_classes: Of the model's features, in order of name.
        purpose: What the spec says it is for.
        environment: Where the spec says it serves.
        approvers: Roles whose approval the model's rollout steps ask for.
        trained_by: Names of those who trained, registered or started the version; asked at `approve` alone.
    """

    tenant: str
    model: str = ""
    version: str = ""
    data_classes: tuple[str, ...] = ()
    purpose: str = ""
    environment: str = ""
    approvers: tuple[str, ...] = ()
    trained_by: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.model:
            return "all tenants" if self.tenant == EVERY_TENANT else f"tenant {self.tenant!r}"
        return f"version {self.version} of model {self.model!r}" if self.version else f"model {self.model!r}"


def resource_of(spec: Spec, *, tenant: str) -> Resource:
    """The model that a spec declares."""
    return Resource(
        tenant=tenant,
        model=spec.name,
        data_classes=tuple(sorted({feature.data_class for feature in spec.features})),
        purpose=spec.access.purpose,
        environment=spec.access.environment,
        approvers=tuple(sorted({step.approval for step in spec.rollout.steps if step.approval})),
    )
