"""What the spec names for when a version cannot answer: tried in order, recorded as degraded."""

import logging
from dataclasses import dataclass, replace
from typing import Protocol

from services.gateway import metrics
from services.gateway.catalog import Model
from services.gateway.domain.batching import Columns
from services.gateway.domain.fallback import (
    CACHED_ANSWER,
    DEFAULT,
    PREVIOUS_VERSION,
    default_columns,
    is_replaceable,
    previous_arm,
    stand_in,
)
from services.gateway.domain.routing import Arm
from services.gateway.lanes import Lanes
from services.gateway.records import Prediction
from services.gateway.upstream import Upstream
from slipway.clock import Clock
from slipway.errors import SlipwayError
from slipway.rpc import status_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleAnswer:
    """An earlier answer to the same input, and the version that gave it."""

    version: str
    digest: str
    outputs: Columns


class StaleAnswers(Protocol):
    """Earlier answers, also those that are too old to be given while the version can answer."""

    async def find_stale(self, prediction: Prediction, *, timeout_s: float) -> StaleAnswer | None:
        """The latest answer to the same input; None where there is none in time."""
        ...


class Fallbacks:
    """Finds an answer in place of a version that has none."""

    def __init__(
        self, lanes: Lanes, upstream: Upstream, *, clock: Clock, stale: StaleAnswers | None = None
    ) -> None:
        self._lanes = lanes
        self._upstream = upstream
        self._clock = clock
        self._stale = stale

    def check_circuit(self, model: Model, arm: Arm) -> None:
        """Do not even queue for a version that is left alone.

        Raises:
            Unavailable: Its circuit is open.
        """
        self._upstream.check_circuit(model.name, arm)

    async def replace(
        self, model: Model, prediction: Prediction, *, error: SlipwayError, deadline_s: float
    ) -> tuple[Prediction, Columns] | None:
        """Another answer, and the prediction as it was then answered; None: the failure stands.

        Args:
            model: Its routes and its spec.
            prediction: As it was meant.
            error: Why the version did not answer.
            deadline_s: Of the whole request.
        """
        if prediction.is_pinned or not is_replaceable(error):
            return None
        for how in prediction.contract.fallback:
            if self._clock.monotonic_s() >= deadline_s:
                return None
            found = await self._try(how, model, prediction=prediction, deadline_s=deadline_s)
            if found is not None:
                arm, outputs = found
                meant = prediction.arm.version
                metrics.DEGRADED.labels(model.name, meant, how, status_of(error).name).inc()
                return replace(prediction, arm=arm, degraded=how, intended_version=meant), outputs
        return None

    async def _try(
        self, how: str, model: Model, *, prediction: Prediction, deadline_s: float
    ) -> tuple[Arm, Columns] | None:
        if how == PREVIOUS_VERSION:
            return await self._previous(model, prediction, deadline_s=deadline_s)
        if how == CACHED_ANSWER:
            return await self._cached(prediction, deadline_s=deadline_s)
        return stand_in(DEFAULT), default_columns(prediction.contract, prediction.checked.rows)

    async def _previous(
        self, model: Model, prediction: Prediction, *, deadline_s: float
    ) -> tuple[Arm, Columns] | None:
        arm = previous_arm(
            model.route, prediction.arm, can_answer=lambda arm: self._upstream.can_answer(model.name, arm)
        )
        if arm is None:
            return None
        contract, checked = prediction.contract, prediction.checked
        lane = self._lanes.lane(model.name, arm)
        try:
            lane.admit(contract, checked.rows)
            outputs = await lane.submit(contract, checked.columns, rows=checked.rows, deadline_s=deadline_s)
        except SlipwayError as error:
            log.info("the fallback failed too", extra={"version": arm.version, "error": str(error)})
            return None
        return arm, outputs

    async def _cached(self, prediction: Prediction, *, deadline_s: float) -> tuple[Arm, Columns] | None:
        if self._stale is None:
            return None
        timeout_s = deadline_s - self._clock.monotonic_s()
        found = await self._stale.find_stale(prediction, timeout_s=timeout_s)
        if found is None:
            return None
        return stand_in(CACHED_ANSWER, version=found.version, digest=found.digest), found.outputs
