"""The lanes of all versions in use."""

from collections.abc import Collection

from services.gateway import metrics
from services.gateway.domain.routing import Arm
from services.gateway.lane import Lane
from services.gateway.upstream import Upstream
from slipway.clock import Clock

_GAUGES = (metrics.QUEUED_ROWS, metrics.SLOTS_BUSY, metrics.IN_FLIGHT_LIMIT)


class Lanes:
    """One lane for each version in use."""

    def __init__(self, upstream: Upstream, clock: Clock, *, slots: int) -> None:
        self._upstream = upstream
        self._clock = clock
        self._slots = slots
        self._lanes: dict[tuple[str, str, str], Lane] = {}

    def lane(self, model: str, arm: Arm) -> Lane:
        """The lane of an arm."""
        key = (model, arm.version, arm.upstream)
        found = self._lanes.get(key)
        if found is None:
            found = self._lanes[key] = Lane(arm, self._upstream, clock=self._clock, slots=self._slots)
        return found

    def tell(self) -> None:
        """Set the gauges of all lanes."""
        for (model, _, _), lane in self._lanes.items():
            lane.tell(model)

    def prune(self, in_use: Collection[tuple[str, str, str]]) -> None:
        """Forget idle lanes of versions that no route names any more."""
        for key in [k for k, lane in self._lanes.items() if k not in in_use and lane.is_idle]:
            del self._lanes[key]
            for gauge in _GAUGES:
                gauge.remove(key[0], key[1])
