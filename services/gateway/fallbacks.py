"""What the spec names for when a version cannot answer: tried in order, recorded as degraded."""

import logging
from dataclasses import replace
from typing import Protocol

from services.gateway import metrics
from services.gateway.catalog import Model
from services.gateway.domain.batching import Columns
from services.gateway.domain.caching import StaleAnswer
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
from services.gateway.record_form import RecordForm
from services.gateway.records import Prediction
from services.gateway.upstream import Upstream
from slipway.clock import Clock
from slipway.errors import SlipwayError
from slipway.rpc import status_of

log = logging.getLogger(__name__)


class StaleAnswers(Protocol):
    """Earlier answers, also those that are too old to be given while the version can answer."""

    async def find_stale(self, prediction: Prediction, *, timeout_s: float) -> StaleAnswer | None:
        """The latest answer to the same question; None where there is none, soon."""
        ...


class Fallbacks:
    """Finds an answer in place of a version that has none."""

    def __init__(self, lanes: Lanes, upstream: Upstream, *, clock: Clock, cache: StaleAnswers) -> None:
        self._lanes = lanes
        self._upstream = upstream
        self._clock = clock
        self._cache = cache

    def check_circuit(self, model: Model, arm: Arm) -> None:
        """Do not even queue for a version that is left alone.

        Raises:
            Unavailable: Its circuit is open.
        """
        self._upstream.check_circuit(model.name, arm)

    async def replace(
        self,
        model: Model,
        prediction: Prediction,
        *,
        error: SlipwayError,
        deadline_s: float,
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
                arm, columns = found
                code, meant = status_of(error).name, prediction.arm.version
                metrics.DEGRADED.labels(model.name, meant, how, code).inc()
                replaced = replace(
                    prediction,
                    arm=arm,
                    form=_form(model, prediction, arm),
                    degraded=how,
                    intended_version=meant,
                    degraded_reason=f"{code}: {error}",
                )
                return replaced, columns
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
            columns = await lane.submit(contract, checked.columns, rows=checked.rows, deadline_s=deadline_s)
        except SlipwayError as error:
            log.info("the fallback failed too", extra={"version": arm.version, "error": str(error)})
            return None
        return arm, columns

    async def _cached(self, prediction: Prediction, *, deadline_s: float) -> tuple[Arm, Columns] | None:
        timeout_s = deadline_s - self._clock.monotonic_s()
        found = await self._cache.find_stale(prediction, timeout_s=timeout_s)
        return None if found is None else (stand_in(CACHED_ANSWER), found.outputs)


def _form(model: Model, prediction: Prediction, arm: Arm) -> RecordForm:
    """Of the version that answered; what no version gave is recorded with the bins of who was asked."""
    found = model.forms.get(arm.version)
    if found is not None:
        return found
    return RecordForm(prediction.contract, arm, epoch=prediction.route_epoch, coder=prediction.form.coder)
