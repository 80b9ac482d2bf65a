"""What a version's profile says about one request, and what the spec wants done about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.gateway.domain.checks import CheckedInput
from slipway.errors import InvalidInput
from slipway.spec_defence import Defence
from slipway.stats.agreement import AgreementModel, together
from slipway.stats.confidence import Calibration
from slipway.stats.conformal import limit
from slipway.stats.density_score import DensityModel, at_rate, score

UNLIKE_TRAINING: Final = "unlike_training"
REVIEW: Final = "review"
UNSCORED: Final = "unscored"  # what the spec wants to be known of this request is not
NOTHING: Final = ""
_STRENGTH: Final = {NOTHING: 0, "none": 0, "flag": 1, "review": 2, "abstain": 3}  # a refusal leaves no record


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

    @property
    def is_first(self) -> bool:
        """Whether it must have looked at the input before a version is asked: it may refuse."""
        return self.defence.density.action == "refuse" or self.defence.on_error == "closed"


# Not frozen, as it is made for every request: that would triple its cost.
@dataclass(slots=True, kw_only=True)
class Defended:
    """What was found about one request, and what was done.

    Attributes:
        scores: Per row, of the input and of the answer whichever is larger; None: not scored.
        confidences: Per row; None: not known.
        members: Per row and class whether it belongs to the prediction set; of a regressor low and high.
        abstained: Per row 1 where the answer is not to be relied on.
        is_judged: Whether the answer has been looked at, not only the input.
        action: The strongest thing that was done.
    """

    scores: NDArray[Any] | None = None
    confidences: NDArray[Any] | None = None
    members: NDArray[Any] | None = None
    abstained: bytearray
    is_judged: bool = False
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


def judge_inputs(guard: Guard, requests: Sequence[CheckedInput]) -> list[Defended]:
    """Score the rows of several requests in one go, and do what the spec says of each.

    Raises:
        InvalidInput: A row is suspicious, and such rows are refused.
        ValueError: The profile does not fit the rows, or gives no number.
    """
    if guard.density is None:
        return [Defended(abstained=bytearray(checked.rows)) for checked in requests]
    ends = list(accumulate((checked.rows for checked in requests), initial=0))
    numbers, texts = joined(requests)
    scores = score(guard.density, numbers, texts=texts)
    if np.isnan(scores).any():
        raise ValueError("a score is NaN")
    return [_judged(guard, scores[start:end]) for start, end in pairwise(ends)]


def joined(requests: Sequence[CheckedInput]) -> tuple[NDArray[Any], list[list[str]]]:
    """The rows of all below each other: numbers, and texts by feature."""
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
        act(found, action, suspicious)
    return found


def strongest(one: str, other: str) -> str:
    """Of two actions the one that does more."""
    return max(one, other, key=lambda name: _STRENGTH[name])


def act(found: Defended, action: str, rows: NDArray[np.bool_]) -> None:
    """Do what a spec says about rows that are doubtful."""
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
