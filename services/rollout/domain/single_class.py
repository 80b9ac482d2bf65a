"""A version that gives one class whatever it is asked: proven by the other answers that never fall on it.

Source: Lindon, Malek, Anytime-Valid Inference for Multinomial Count Data, NeurIPS 2022, section 4: condition
on the events, bet on the arm they fall on. The event here is an answer other than k, and the bet is the
extreme one, that none of them is the canary's.
"""

from dataclasses import dataclass, replace
from math import log, log1p
from typing import Final

Classes = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The champion's requests beside the canary, each weighed by -ln(1 - s), s the canary's share.

    Attributes:
        total: Over all that were answered with a class.
        pure: Over those whose rows all got the same class, per class.
    """

    total: float = 0.0
    pure: tuple[tuple[str, float], ...] = ()


NO_ANSWERS: Final = Answers()


def observe(answers: Answers, classes: Classes, *, share: float) -> Answers:
    """Add one request that the champion answered.

    Args:
        answers: So far.
        classes: Of its rows; without any nothing changes.
        share: The canary's share of the assignments, 0..1; at 0 or 1 there is nothing to compare.
    """
    if not classes or not 0 < share < 1:
        return answers
    weight = -log1p(-share)
    added = replace(answers, total=answers.total + weight)
    if len(classes) > 1:
        return added
    pure = dict(answers.pure)
    pure[classes[0][0]] = pure.get(classes[0][0], 0.0) + weight
    return replace(added, pure=tuple(sorted(pure.items())))


def log_e_value(answers: Answers, only: str, *, classes: int) -> float:
    """Log e-value against "it gives other answers as often as the champion does".

    Args:
        answers: The champion's, beside the canary.
        only: The class that all answers of the canary have had.
        classes: How many classes the model has.
    Formula: E_k = prod over the champion's requests with an answer other than k of 1 / (1 - s), and 0 as
        soon as the canary gives one: by the null each falls on the canary with probability s, however often
        either class comes. E = mean_k E_k over the classes: which one it would be was not known beforehand.
    """
    others = answers.total - dict(answers.pure).get(only, 0.0)
    return others - log(classes)
