"""What policies know of each model, for services that follow the specs for other reasons."""

from collections.abc import Callable

from slipway.envelope import Event
from slipway.errors import Unavailable
from slipway.identity.caller import DEFAULT_TENANT
from slipway.policy.resource import Resource, resource_of
from slipway.spec import parse


class ModelBook:
    """Every model as a resource, by name."""

    def __init__(self, is_known: Callable[[], bool]) -> None:
        """Args beyond the obvious: `is_known`, whether all specs have been read."""
        self._is_known = is_known
        self._models: dict[str, tuple[int, Resource]] = {}

    def apply(self, event: Event) -> None:
        """Take a ModelSpec in, unless a newer one is known.

        Raises:
            InvalidInput: Its YAML is not a spec; the last good one stays.
        """
        message = event.message
        known = self._models.get(message.name)
        if known is None or message.revision >= known[0]:
            resource = resource_of(parse(message.yaml), tenant=message.tenant or DEFAULT_TENANT)
            self._models[message.name] = (message.revision, resource)

    def find(self, model: str) -> Resource | None:
        """A model; None for one that nobody declared.

        Raises:
            Unavailable: The specs are not read yet.
        """
        if not self._is_known():
            raise Unavailable("the service is still reading the specs of all models; try again in a moment")
        known = self._models.get(model)
        return None if known is None else known[1]
