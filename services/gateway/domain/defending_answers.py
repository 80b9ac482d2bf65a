"""What a version's profile says about its answers, and what the spec wants done about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from services.gateway.domain.checks import CheckedInput
from services.gateway.domain.defending import Defended, Guard, Sureness, act, joined
from slipway.stats.agreement import score as score_answers
from slipway.stats.columns import to_points
from slipway.stats.conformal import aps_scores, lac_scores
from slipway.stats.temperature import apply_temperature

UNLIKE_NEIGHBOURS: Final = "unlike_neighbours"
NOT_CONFIDENT: Final = "not_confident"
_DRAWS: Final = 2.0**32


# Not frozen, as it is made for every request: that would triple its cost.
@dataclass(slots=True, kw_only=True)
class Answered:
    """What a version answered to one request.

    Attributes:
        checked: The request.
        labels: Classes; empty for a regressor.
        numbers: Probabilities, shape (rows, classes), or a regressor's numbers, shape (rows,).
        prediction_id: Decides what APS leaves to chance, so that it can be found again.
    """

    checked: CheckedInput
    labels: Sequence[str]
    numbers: NDArray[Any]
    prediction_id: str


def judge_answers(guard: Guard, founds: Sequence[Defended], answers: Sequence[Answered]) -> None:
    """Compare answers with those to training rows, add how sure the version is, and do what the spec says.

    Args:
        guard: Of the version that answered, which need not be the one that judged the inputs.
        founds: About the inputs, and now about the answers.
        answers: To as many requests, all judged in one go.
    Raises:
        ValueError: One of the answers is none of the spec's, or the profile does not fit the rows; what was
            found may be judged again.
    """
    ends = list(accumulate((answer.checked.rows for answer in answers), initial=0))
    codes = np.array([guard.classes.index(label) for answer in answers for label in answer.labels], np.intp)
    _judge_agreement(guard, founds, answers, ends=ends, codes=codes)
    if guard.sureness is not None and guard.classes:
        _judge_sureness(guard, guard.sureness, founds, answers=answers, ends=ends, codes=codes)
    elif guard.sureness is not None:
        numbers = np.concatenate([answer.numbers for answer in answers]).astype(np.float64)
        bounds = np.stack([numbers - guard.sureness.interval, numbers + guard.sureness.interval], axis=1)
        for found, (start, end) in zip(founds, pairwise(ends), strict=True):
            found.members = bounds[start:end]
    for found in founds:
        found.is_judged = True


def draws_of(prediction_id: str, rows: int) -> NDArray[np.float64]:
    """What APS leaves to chance, by the prediction's id: uniform on [0, 1), and the same whenever asked."""
    start = prediction_id.encode()
    return np.array([crc32(start + b"/%d" % row) / _DRAWS for row in range(rows)])


def _judge_agreement(
    guard: Guard,
    founds: Sequence[Defended],
    answers: Sequence[Answered],
    *,
    ends: Sequence[int],
    codes: NDArray[np.intp],
) -> None:
    if guard.density is None or guard.agreement is None:
        return
    numbers, texts = joined([answer.checked for answer in answers])
    strange = score_answers(guard.agreement, to_points(guard.density.columns, numbers, texts), codes)
    for found, (start, end) in zip(founds, pairwise(ends), strict=True):
        own = strange[start:end]
        found.scores = own if found.scores is None else np.maximum(found.scores, own)
        if own.max() > 1:
            _add(found, UNLIKE_NEIGHBOURS)
            act(found, guard.defence.agreement.action, own > 1)


def _judge_sureness(
    guard: Guard,
    sureness: Sureness,
    founds: Sequence[Defended],
    *,
    answers: Sequence[Answered],
    ends: Sequence[int],
    codes: NDArray[np.intp],
) -> None:
    numbers = np.concatenate([answer.numbers for answer in answers])
    softened = apply_temperature(numbers, sureness.temperature)
    confidences = softened[np.arange(len(codes)), codes]
    if sureness.is_adaptive:
        draws = [draws_of(answer.prediction_id, answer.checked.rows) for answer in answers]
        strangeness = aps_scores(softened, np.concatenate(draws))
    else:
        strangeness = lac_scores(softened)
    members = strangeness <= sureness.class_limit
    for found, (start, end) in zip(founds, pairwise(ends), strict=True):
        found.confidences, found.members = confidences[start:end], members[start:end]
        _judge_confidence(guard, found)


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
        _add(found, NOT_CONFIDENT)
        act(found, wanted.action, doubtful)


def _add(found: Defended, flag: str) -> None:
    if flag not in found.flags:
        found.flags = (*found.flags, flag)
