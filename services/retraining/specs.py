"""Every model's spec, followed from the topic `model_specs`."""

import asyncio
from dataclasses import dataclass
from typing import Final

from slipway import spec as model_spec
from slipway.clock import Clock
from slipway.envelope import Event
from slipway.errors import NotFound, Unavailable
from slipway.identity.caller import DEFAULT_TENANT
from slipway.policy.resource import Resource, resource_of
from slipway.spec import Spec
from slipway.v1.rollout_pb2 import ModelSpec

# A spec is applied before anything refers to it, but travels in another topic.
_LAG_S: Final = 5.0
_LOOK_AGAIN_S: Final = 0.05
_MISSED: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedSpec:
    """A spec as it came and as it reads."""

    message: ModelSpec
    spec: Spec


class SpecBook:
    """The newest spec of each model."""

    def __init__(self, clock: Clock) -> None:
        self._specs: dict[str, AppliedSpec] = {}
        self._clock = clock
        self._missed: set[str] = set()
        self.known = asyncio.Event()

    def all(self) -> list[AppliedSpec]:
        """Every model's spec."""
        return list(self._specs.values())

    async def until_known(self, stop: asyncio.Event) -> None:
        """Wait until every spec that was there at the start has been read, or until told to stop."""
        waits = {asyncio.ensure_future(self.known.wait()), asyncio.ensure_future(stop.wait())}
        _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in pending:
            wait.cancel()

    def apply(self, event: Event) -> None:
        """Take a ModelSpec in, unless a newer one is known.

        Raises:
            InvalidInput: Its YAML is not a spec.
        """
        message = event.message
        known = self._specs.get(message.name)
        if known is None or message.revision >= known.message.revision:
            self._specs[message.name] = AppliedSpec(message=message, spec=model_spec.parse(message.yaml))

    def find(self, model: str) -> AppliedSpec:
        """The spec of a model.

        Raises:
            NotFound: No such model has been applied.
        """
        if model not in self._specs:
            raise NotFound(f"model {model} is not known; apply its spec with `slipway apply -f model.yaml`")
        return self._specs[model]

    def find_resource(self, model: str) -> Resource | None:
        """A model as policies see it; None for one that nobody declared.

        Raises:
            Unavailable: The specs are not read yet.
        """
        if not self.known.is_set():
            raise Unavailable("the service is still reading the specs of all models; try again in a moment")
        known = self._specs.get(model)
        if known is None:
            return None
        return resource_of(known.spec, tenant=known.message.tenant or DEFAULT_TENANT)

    async def wait_for(self, model: str) -> AppliedSpec:
        """The spec of a model that somebody referred to, which may be a moment late.

        Raises:
            NotFound: It did not come.
        """
        until_s = self._clock.monotonic_s() + (0 if model in self._missed else _LAG_S)
        while model not in self._specs and self._clock.monotonic_s() < until_s:
            await asyncio.sleep(_LOOK_AGAIN_S)
        if model not in self._specs and len(self._missed) < _MISSED:
            self._missed.add(model)  # nobody waits for it twice
        return self.find(model)
