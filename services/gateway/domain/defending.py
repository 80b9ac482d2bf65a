"""What a version's profile says about one request, and what the spec wants done about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from services.gateway.domain.checks import CheckedInput
from slipway.errors import InvalidInput
from slipway.spec_defence import Defence
from slipway.stats.confidence import Calibration
from slipway.stats.conformal import aps_scores, lac_scores, limit
from slipway.stats.density_score import DensityModel, at_rate, score
from slipway.stats.temperature import apply_temperature

UNLIKE_TRAINING: Final = "unlike_training"
NOT_CONFIDENT: Final = "not_confident"
REVIEW: Final = "review"
UNSCORED: Final = "unscored"  # what the spec wants to be known of this request is not
NOTHING: Final = ""
_STRENGTH: Final = {NOTHING: 0, "none": 0, "flag": 1, "review": 2, "abstain": 3}  # a refusal leaves no record
_DRAWS: Final = 2.0**32


@dataclass(frozen=True, slots=True, kw_only=True)
class Sureness:
    """By what a version's answers are judged.

    Attributes:
        is_adaptive: Whether sets are those of APS, not of LAC.
        class_limit: The strangest class that still belongs to the set.
        interval: Half the width of a regressor's interval.
    """

    temperature: float
    is_adaptive: bool
    class_limit: float
    interval: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What watches over one version under one spec.

    Attributes:
        density: With the threshold of the spec's rate; None: rows are not scored.
        sureness: None: nobody knows how sure the version is.
        fault: Why something that the spec demands cannot be had; empty: nothing is missing.
    """

    defence: Defence
    classes: tuple[str, ...]
    density: DensityModel | None = None
    sureness: Sureness | None = None
    fault: str = ""

    @property
    def is_idle(self) -> bool:
        """Whether it has nothing to say of any request."""
        return self.density is None and self.sureness is None and not self.fault

    @property
    def is_first(self) -> bool:
        """Whether it must have looked at the input before a version is asked: it may refuse."""
        return self.defence.density.action == "refuse" or self.defence.on_error == "closed"


# Not frozen, as it is made for every request: that would triple its cost.
@dataclass(slots=True, kw_only=True)
class Defended:
    """What was found about one request, and what was done.

    Attributes:
        scores: Per row; None: not scored.
        confidences: Per row; None: not known.
        members: Per row and class whether it belongs to the prediction set; of a regressor low and high.
        abstained: Per row 1 where the answer is not to be relied on.
        action: The strongest thing that was done.
    """

    scores: NDArray[Any] | None = None
    confidences: NDArray[Any] | None = None
    members: NDArray[Any] | None = None
    abstained: bytearray
    action: str = NOTHING
    flags: tuple[str, ...] = ()


def guard_of(
    defence: Defence,
    *,
    classes: tuple[str, ...],
    density: DensityModel | None,
    calibration: Calibration | None,
) -> Guard:
    """The guard of a version, by what its input profile has."""
    faults: list[str] = []
    rated = None
    if density is None and defence.demands_density:
        faults.append("the version has no input profile")
    if density is not None:
        try:
            rated = at_rate(density, defence.density.false_positive_rate)
        except InvalidInput as error:
            faults += [str(error)] if defence.demands_density else []
    if calibration is None and defence.demands_calibration:
        faults.append("the version has no calibration")
    return Guard(
        defence=defence,
        classes=classes,
        density=rated,
        sureness=None if calibration is None else _sureness(defence, calibration),
        fault="; ".join(faults),
    )


def judge_input(guard: Guard, checked: CheckedInput) -> Defended:
    """Score the rows and do what the spec says.

    Raises:
        InvalidInput: A row is suspicious, and such rows are refused.
        ValueError: The profile does not fit the rows, or gives no number.
    """
    return judge_inputs(guard, [checked])[0]


def judge_inputs(guard: Guard, requests: Sequence[CheckedInput]) -> list[Defended]:
    """As `judge_input`, for several requests in one go.

    Raises:
        InvalidInput, ValueError: For any of them.
    """
    if guard.density is None:
        return [Defended(abstained=bytearray(checked.rows)) for checked in requests]
    ends = list(accumulate((checked.rows for checked in requests), initial=0))
    numbers, texts = _joined(requests)
    scores = score(guard.density, numbers, texts=texts)
    if np.isnan(scores).any():
        raise ValueError("a score is NaN")
    return [_judged(guard, scores[start:end]) for start, end in pairwise(ends)]


def _joined(requests: Sequence[CheckedInput]) -> tuple[NDArray[Any], list[list[str]]]:
    first = requests[0]
    if len(requests) == 1:
        return first.numbers, list(first.texts.values())
    numbers = np.concatenate([checked.numbers for checked in requests])
    return numbers, [[text for it in requests for text in it.texts[name]] for name in first.texts]


def _judged(guard: Guard, scores: NDArray[Any]) -> Defended:
    found = Defended(abstained=bytearray(len(scores)), scores=scores)
    suspicious = scores > 1
    if not suspicious.any():
        return found
    action, rate = guard.defence.density.action, guard.defence.density.false_positive_rate
    if action == "refuse":
        row = int(suspicious.argmax())
        raise InvalidInput(
            f"row {row} is unlike the training data: its input score {scores[row]:.4g} is above the "
            f"threshold 1, which {rate:.3g} of rows like the training data exceed"
        )
    if action != "none":
        found.flags = (UNLIKE_TRAINING,)
        _act(found, action, suspicious)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What a version answered to one request.

    Attributes:
        labels: Classes; empty for a regressor.
        numbers: Probabilities, shape (rows, classes), or a regressor's numbers, shape (rows,).
        prediction_id: Decides what APS leaves to chance, so that it can be found again.
    """

    labels: Sequence[str]
    numbers: NDArray[Any]
    prediction_id: str


def judge_answer(guard: Guard, found: Defended, answered: Answered) -> None:
    """Add how sure the version is of its answers, and do what the spec says.

    Raises:
        ValueError: The answer is none of the spec's.
    """
    judge_answers(guard, [found], [answered])


def judge_answers(guard: Guard, founds: Sequence[Defended], answers: Sequence[Answered]) -> None:
    """As `judge_answer`, for several requests in one go.

    Raises:
        ValueError: One of the answers is none of the spec's.
    """
    sureness = guard.sureness
    if sureness is None:
        return
    ends = list(accumulate((len(answer.numbers) for answer in answers), initial=0))
    numbers = np.concatenate([answer.numbers for answer in answers]).astype(np.float64)
    if not guard.classes:
        bounds = np.stack([numbers - sureness.interval, numbers + sureness.interval], axis=1)
        for found, (start, end) in zip(founds, pairwise(ends), strict=True):
            found.members = bounds[start:end]
        return
    softened = apply_temperature(numbers, sureness.temperature)
    places = [guard.classes.index(label) for answer in answers for label in answer.labels]
    confidences = softened[np.arange(len(places)), places]
    if sureness.is_adaptive:
        draws = [draws_of(answer.prediction_id, len(answer.numbers)) for answer in answers]
        strangeness = aps_scores(softened, np.concatenate(draws))
    else:
        strangeness = lac_scores(softened)
    members = strangeness <= sureness.class_limit
    for found, (start, end) in zip(founds, pairwise(ends), strict=True):
        found.confidences, found.members = confidences[start:end], members[start:end]
        _judge_confidence(guard, found)


def draws_of(prediction_id: str, rows: int) -> NDArray[np.float64]:
    """What APS leaves to chance, by the prediction's id: uniform on [0, 1), and the same whenever asked."""
    start = prediction_id.encode()
    return np.array([crc32(start + b"/%d" % row) / _DRAWS for row in range(rows)])


def _judge_confidence(guard: Guard, found: Defended) -> None:
    wanted = guard.defence.confidence
    if wanted.action == "none" or found.members is None or found.confidences is None:
        return
    doubtful = np.zeros(len(found.confidences), dtype=np.bool_)
    if wanted.abstain_below is not None:
        doubtful |= found.confidences < wanted.abstain_below
    if wanted.when_set_larger_than is not None:
        sizes = found.members.sum(axis=1)
        doubtful |= (sizes > wanted.when_set_larger_than) | (sizes == 0)
    if doubtful.any():
        found.flags = (*found.flags, NOT_CONFIDENT)
        _act(found, wanted.action, doubtful)


def strongest(one: str, other: str) -> str:
    """Of two actions the one that does more."""
    return max(one, other, key=lambda name: _STRENGTH[name])


def _act(found: Defended, action: str, rows: NDArray[np.bool_]) -> None:
    if action == "review" and REVIEW not in found.flags:
        found.flags = (*found.flags, REVIEW)
    if action == "abstain":
        for row in np.flatnonzero(rows):
            found.abstained[row] = 1
    found.action = strongest(found.action, action)


def _sureness(defence: Defence, calibration: Calibration) -> Sureness:
    wanted = defence.confidence
    is_adaptive = wanted.method == "aps"
    return Sureness(
        temperature=calibration.temperature,
        is_adaptive=is_adaptive,
        class_limit=limit(calibration.aps if is_adaptive else calibration.lac, wanted.coverage),
        interval=limit(calibration.residuals, wanted.coverage),
    )
