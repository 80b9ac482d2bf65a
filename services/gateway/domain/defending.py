"""What a version's profile says about one request, and what the spec wants done about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from services.gateway.domain.checks import CheckedInput
from slipway.errors import InvalidInput
from slipway.spec_defence import Defence
from slipway.stats.agreement import AgreementModel, together
from slipway.stats.agreement import score as score_answers
from slipway.stats.columns import to_points
from slipway.stats.confidence import Calibration
from slipway.stats.conformal import aps_scores, lac_scores, limit
from slipway.stats.density_score import DensityModel, at_rate, score
from slipway.stats.temperature import apply_temperature

UNLIKE_TRAINING: Final = "unlike_training"
UNLIKE_NEIGHBOURS: Final = "unlike_neighbours"  # the answer
NOT_CONFIDENT: Final = "not_confident"
REVIEW: Final = "review"
UNSCORED: Final = "unscored"  # what the spec wants to be known of this request is not
NOTHING: Final = ""
_STRENGTH: Final = {NOTHING: 0, "none": 0, "flag": 1, "review": 2, "abstain": 3}
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
        agreement: With the same rate, which both share; None: answers are not compared.
        sureness: None: nobody knows how sure the version is.
        fault: Why something that the spec demands cannot be had; empty: nothing is missing.
    """

    defence: Defence
    classes: tuple[str, ...]
    density: DensityModel | None = None
    agreement: AgreementModel | None = None
    sureness: Sureness | None = None
    fault: str = ""

    @property
    def is_idle(self) -> bool:
        """Whether it has nothing to say of any request."""
        return self.density is None and self.sureness is None and not self.fault


# Not frozen, as it is made for every request: that would triple its cost.
@dataclass(slots=True, kw_only=True)
class Defended:
    """What was found about one request, and what was done.

    Attributes:
        scores: Per row, of the input and of the answer whichever is larger; None: not scored.
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
    agreement: AgreementModel | None = None,
) -> Guard:
    """The guard of a version, by what its input profile has."""
    faults: list[str] = []
    rated, compared = None, None
    if agreement is not None and len(agreement.counts) != len(classes):
        agreement = None
    if agreement is None and defence.demands_agreement:
        faults.append("the version has no answers to compare with")
    if density is None and defence.demands_density:
        faults.append("the version has no input profile")
    if density is not None:
        try:
            rated, compared = _rated(defence, density, agreement)
        except InvalidInput as error:
            faults += [str(error)] if defence.demands_density else []
    if calibration is None and defence.demands_calibration:
        faults.append("the version has no calibration")
    return Guard(
        defence=defence,
        classes=classes,
        density=rated,
        agreement=compared,
        sureness=None if calibration is None else _sureness(defence, calibration),
        fault="; ".join(faults),
    )


def _rated(
    defence: Defence, density: DensityModel, agreement: AgreementModel | None
) -> tuple[DensityModel, AgreementModel | None]:
    rate = defence.density.false_positive_rate
    if agreement is None or defence.agreement.action == "none":
        return at_rate(density, rate), None
    return together(density, agreement, rate)


def judge_input(guard: Guard, checked: CheckedInput) -> Defended:
    """Score the rows and do what the spec says.

    Raises:
        InvalidInput: A row is suspicious, and such rows are refused.
        ValueError: The profile does not fit the rows, or gives no number.
    """
    found = Defended(abstained=bytearray(checked.rows))
    if guard.density is None:
        return found
    texts = [checked.texts[name] for name in checked.texts]
    found.scores = score(guard.density, checked.numbers, texts=texts)
    furthest = float(found.scores.max())
    if furthest != furthest:
        raise ValueError("a score is NaN")
    if furthest <= 1:
        return found
    action, rate = guard.defence.density.action, guard.defence.density.false_positive_rate
    suspicious = found.scores > 1
    if action == "refuse":
        row = int(suspicious.argmax())
        raise InvalidInput(
            f"row {row} is unlike the training data: its input score {found.scores[row]:.4g} is above the "
            f"threshold 1, which {rate:.3g} of rows like the training data exceed"
        )
    if action != "none":
        found.flags = (UNLIKE_TRAINING,)
        _act(found, action, suspicious)
    return found


def judge_agreement(guard: Guard, found: Defended, checked: CheckedInput, *, labels: Sequence[str]) -> None:
    """Compare the answers with those to the training rows around, and do what the spec says.

    Args:
        guard: Of the version that answered, which need not be the one that judged the input.
        found: About the input.
        checked: The rows.
        labels: Classes that were answered.
    Raises:
        ValueError: The profile does not fit the rows, or the answer is none of the spec's.
    """
    if guard.density is None or guard.agreement is None:
        return
    texts = [checked.texts[name] for name in checked.texts]
    points = to_points(guard.density.columns, checked.numbers, texts)
    codes = np.array([guard.classes.index(label) for label in labels], dtype=np.int64)
    strange = score_answers(guard.agreement, points, codes)
    found.scores = strange if found.scores is None else np.maximum(found.scores, strange)
    if strange.max() > 1:
        found.flags = (*found.flags, UNLIKE_NEIGHBOURS)
        _act(found, guard.defence.agreement.action, strange > 1)


def judge_answer(
    guard: Guard, found: Defended, *, labels: Sequence[str], numbers: NDArray[Any], prediction_id: str
) -> None:
    """Add how sure the version is of its answers, and do what the spec says.

    Args:
        guard: Of the version that answered.
        found: About the input.
        labels: Classes that were answered; empty for a regressor.
        numbers: Probabilities, shape (rows, classes), or a regressor's numbers, shape (rows,).
        prediction_id: Decides what APS leaves to chance, so that it can be found again.
    Raises:
        ValueError: The answer is none of the spec's.
    """
    sureness = guard.sureness
    if sureness is None:
        return
    if not guard.classes:
        values = np.asarray(numbers, dtype=np.float64)
        found.members = np.stack([values - sureness.interval, values + sureness.interval], axis=1)
        return
    softened = apply_temperature(numbers, sureness.temperature)
    places = [guard.classes.index(label) for label in labels]
    found.confidences = softened[np.arange(len(places)), places]
    if sureness.is_adaptive:
        strangeness = aps_scores(softened, draws_of(prediction_id, len(places)))
    else:
        strangeness = lac_scores(softened)
    found.members = strangeness <= sureness.class_limit
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


def _act(found: Defended, action: str, rows: NDArray[np.bool_]) -> None:
    if action == "review" and REVIEW not in found.flags:
        found.flags = (*found.flags, REVIEW)
    if action == "abstain":
        for row in np.flatnonzero(rows):
            found.abstained[row] = 1
    found.action = max(found.action, action, key=lambda name: _STRENGTH[name])


def _sureness(defence: Defence, calibration: Calibration) -> Sureness:
    wanted = defence.confidence
    is_adaptive = wanted.method == "aps"
    return Sureness(
        temperature=calibration.temperature,
        is_adaptive=is_adaptive,
        class_limit=limit(calibration.aps if is_adaptive else calibration.lac, wanted.coverage),
        interval=limit(calibration.residuals, wanted.coverage),
    )
