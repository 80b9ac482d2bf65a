"""What the policies let a caller do at the gateway's public door."""

from collections.abc import Iterable

from services.gateway.catalog import Catalog, Model
from slipway.identity.caller import Caller
from slipway.policy.engine import Decision, Policies
from slipway.policy.resource import Resource


class Permissions:
    """One question for each thing that is done there."""

    def __init__(self, policies: Policies, catalog: Catalog) -> None:
        self.policies = policies
        self._catalog = catalog

    def infer(self, caller: Caller, model: Model) -> Decision:
        """Whether he may ask the model; the decision goes into the record.

        Raises:
            Denied: He may not.
        """
        return self.policies.authorize(caller, "infer", model.resource)

    def read(self, caller: Caller, model: Model) -> None:
        """Whether he may see what the model is like.

        Raises:
            Denied: He may not.
        """
        self.policies.authorize(caller, "read", model.resource)

    def look_around(self, caller: Caller) -> None:
        """Whether he may see what is common to all models.

        Raises:
            Denied: He may not.
        """
        self.policies.authorize(caller, "read", Resource(tenant=caller.tenant))

    def sees(self, caller: Caller, model: Model) -> bool:
        """Whether the model stands in the lists that he is shown."""
        return self.policies.allows(caller, "read", model.resource)

    def give_feedback(self, caller: Caller, models: Iterable[str]) -> None:
        """Whether he may say how predictions turned out.

        Args:
            caller: Who says it.
            models: Those named in the items. One that he cannot know is as one that is not named.
        Raises:
            Denied: Not for one of them.
        """
        for resource in {self._of(caller, name) for name in models}:
            self.policies.authorize(caller, "feedback", resource)

    def follow_jobs(self, caller: Caller) -> None:
        """Whether he may look after jobs of his own.

        Raises:
            Denied: He may not.
        """
        self.policies.authorize(caller, "job", Resource(tenant=caller.tenant))

    def _of(self, caller: Caller, name: str) -> Resource:
        model = self._catalog.models.get(name)
        if model is None or model.tenant != caller.tenant:
            return Resource(tenant=caller.tenant)
        return model.resource
