"""The gate: may a candidate replace the champion? Everyone is judged on the same held-out rows.

The best window is the one with the highest held-out accuracy, since that is what the champion and the
baselines are compared by; equal accuracies are told apart by log loss. Choosing among a few windows on the
rows that then judge the winner favours it slightly: raise `margin` where that matters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from services.retraining.domain.scores import Answers, Codes, Score, score


class Insufficient(Exception):
    """The gate cannot judge; the text says why."""


class Outcome(StrEnum):
    """What the gate says."""

    BLESSED = "BLESSED"
    REJECTED = "REJECTED"
    INSUFFICIENT = "INSUFFICIENT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The gate's decision with its numbers; `winner` is the best window, blessed or not."""

    outcome: Outcome
    reason: str
    winner: str = ""
    scores: tuple[Score, ...] = ()
    wins: int = 0  # held-out rows that the winner has right and the champion wrong
    losses: int = 0


def find_gap_in_classes(codes: Codes, *, classes: Sequence[str], min_rows: int, where: str) -> str:
    """The first class with fewer than `min_rows` rows, in words; empty when there is none."""
    counts = np.bincount(codes, minlength=len(classes))
    for name, count in zip(classes, counts, strict=True):
        if count < min_rows:
            return f"class {name!r} has {count} rows {where}, needed are {min_rows}"
    return ""


def judge(
    candidates: Sequence[Answers],
    truth: Codes,
    *,
    champion: Answers | None,
    baselines: Sequence[Answers],
    margin: float,
) -> Verdict:
    """Choose the best candidate and hold it against the baselines and the champion.

    Args:
        candidates: One per window, not empty.
        truth: The held-out labels.
        champion: The serving version's answers to the same rows; None for a model's first version.
        baselines: `majority` and `last_label`; without a champion only `majority` must be beaten.
        margin: Accuracy by which the champion must be beaten; negative allows that much worse.
    """
    scored = sorted((score(c, truth) for c in candidates), key=_rank)
    best = scored[0]
    base = [score(b, truth) for b in baselines]
    champion_score = None if champion is None else score(champion, truth)
    answers = next(c for c in candidates if c.contestant == best.contestant)
    wins, losses = _paired(answers, champion, truth=truth)
    must_beat = [b for b in base if champion is not None or b.contestant == "majority"]
    fault = _fault(best, must_beat, champion=champion_score, margin=margin, paired=(wins, losses))
    reason = fault or _praise(best, base, champion=champion_score, paired=(wins, losses))
    return Verdict(
        outcome=Outcome.REJECTED if fault else Outcome.BLESSED,
        reason=reason,
        winner=best.contestant,
        scores=(*scored, *([champion_score] if champion_score else []), *base),
        wins=wins,
        losses=losses,
    )


def _rank(it: Score) -> tuple[float, float]:
    return (-it.accuracy, float("inf") if it.log_loss is None else it.log_loss)


def _paired(best: Answers, champion: Answers | None, *, truth: Codes) -> tuple[int, int]:
    """Rows that only the first has right, and rows that only the second has right."""
    if champion is None:
        return 0, 0
    is_right, was_right = best.predicted == truth, champion.predicted == truth
    return int(np.sum(is_right & ~was_right)), int(np.sum(~is_right & was_right))


def _fault(
    best: Score, baselines: Sequence[Score], *, champion: Score | None, margin: float, paired: tuple[int, int]
) -> str:
    for baseline in baselines:
        if best.accuracy <= baseline.accuracy:
            return f"{_named(best)} does not beat {_named(baseline)} on the same {best.rows} rows"
    if champion is None:
        return ""
    wins, losses = paired
    # Counts, not the difference of two rounded means: a tie must not depend on float rounding.
    if wins - losses < margin * best.rows - 1e-9:
        return (
            f"{_named(best)} against {_named(champion)} on the same {best.rows} rows "
            f"({wins} better, {losses} worse): not better by the margin {margin:+g}"
        )
    return ""


def _praise(
    best: Score, baselines: Sequence[Score], *, champion: Score | None, paired: tuple[int, int]
) -> str:
    others = ", ".join(_named(b) for b in baselines)
    if champion is None:
        return f"{_named(best)} on {best.rows} held-out rows; {others}; there is no champion yet"
    return (
        f"{_named(best)} against {_named(champion)} on the same {best.rows} rows "
        f"({paired[0]} better, {paired[1]} worse); {others}"
    )


def _named(it: Score) -> str:
    return f"{it.contestant} {it.accuracy:.4f}"
