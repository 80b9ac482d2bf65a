"""Where an answer comes from: the version that was chosen, or what its spec names in its place."""

from dataclasses import dataclass
from functools import partial

from services.gateway.cache.answers import AnswerCache
from services.gateway.cache.flights import WaitedInVain
from services.gateway.catalog import Model
from services.gateway.defending import defend_inputs
from services.gateway.domain.batching import Columns
from services.gateway.domain.fallback import deadline_of_arm
from services.gateway.fallbacks import Fallbacks
from services.gateway.lanes import Lanes
from services.gateway.limits.limits import Reservation
from services.gateway.records import Prediction
from services.gateway.stages import Stages
from slipway.errors import SlipwayError


# Not frozen, as it is made for every request: that would triple its cost.
@dataclass(slots=True, kw_only=True)
class Question:
    """A request that was let in and routed."""

    model: Model
    prediction: Prediction
    outputs: tuple[str, ...]  # of the version
    wanted: tuple[str, ...]  # the caller's, with those of the defence, in his order
    start_s: float
    deadline_s: float
    level: int
    stages: Stages
    reservation: Reservation
    compute_s: float = 0.0  # of the calls that were made for it, by its share of their rows
    is_sent: bool = False  # an arm has taken it: from here on a failure is the arm's, and recorded

    def charge(self, compute_s: float) -> None:
        """A call to a version was made for it."""
        self.compute_s += compute_s


class Answering:
    """Asks the version, and whoever stands in for it."""

    def __init__(self, lanes: Lanes, fallbacks: Fallbacks, *, cache: AnswerCache) -> None:
        self._lanes = lanes
        self._cache = cache
        self._fallbacks = fallbacks

    async def answer(self, question: Question) -> tuple[Prediction, Columns]:
        """The answer, and the prediction as it was answered.

        Raises:
            SlipwayError: Nobody could; `question.is_sent` tells a failure from a refusal.
        """
        prediction = question.prediction
        try:
            columns, prediction.cached = await self._cache.answer(
                prediction,
                route=question.model.route,
                outputs=question.outputs,
                deadline_s=_until_s(question),
                compute=partial(self._of_version, question),
            )
            return prediction, columns
        except SlipwayError as error:
            if isinstance(error, WaitedInVain):
                question.is_sent = True  # by the one whom it waited for
            defend_inputs([prediction])  # by the guard of the version that was meant
            replaced = await self._fallbacks.replace(
                question.model,
                prediction,
                error=error,
                deadline_s=question.deadline_s,
            )
            if replaced is None:
                raise
            return replaced

    async def _of_version(self, question: Question) -> Columns:
        prediction = question.prediction
        contract, checked = prediction.contract, prediction.checked
        lane = self._lanes.lane(contract.model, prediction.arm)
        lane.admit(contract, checked.rows, level=question.level, deadline_s=question.deadline_s)
        question.is_sent = True
        self._fallbacks.check_circuit(question.model, prediction.arm)
        return await lane.submit(
            contract,
            checked.columns,
            rows=checked.rows,
            deadline_s=_until_s(question),
            level=question.level,
            stages=question.stages,
            charge=question.charge,
            prediction=prediction,
        )


def _until_s(question: Question) -> float:
    """The version's own deadline."""
    contract = question.prediction.contract
    return deadline_of_arm(contract, start_s=question.start_s, deadline_s=question.deadline_s)
