"""What stands in for a version that cannot answer."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from services.gateway.domain import elements
from services.gateway.domain.batching import Columns
from services.gateway.domain.contract import Contract
from services.gateway.domain.failures import ArmFailed
from services.gateway.domain.routing import Arm, Route
from slipway.errors import DeadlineExceeded, SlipwayError, Unavailable

PREVIOUS_VERSION: Final = "previous_version"
CACHED_ANSWER: Final = "cached_answer"
DEFAULT: Final = "default"
# What a version keeps for itself of the time: the rest is there for whoever stands in.
RESERVED_SHARE: Final = 0.1
# Full is not failed: load that was shed here must not fall on another version.
_REPLACEABLE: Final = (Unavailable, ArmFailed, DeadlineExceeded)
# Roles that may answer all units, best first. A canary answers its own units only.
_ROLES: Final = ("champion", "standby")


def is_replaceable(error: SlipwayError) -> bool:
    """Whether a failure is one that something else may stand in for."""
    return isinstance(error, _REPLACEABLE)


def deadline_of_arm(contract: Contract, *, start_s: float, deadline_s: float) -> float:
    """Until when a version may try: all the time, or 90 % of it where something can stand in."""
    if not contract.fallback:
        return deadline_s
    return deadline_s - RESERVED_SHARE * (deadline_s - start_s)


def previous_arm(route: Route, failed: Arm, *, can_answer: Callable[[Arm], bool]) -> Arm | None:
    """The arm that answers for one that failed: the champion for a canary, else the standby."""
    for role in _ROLES:
        for arm in route.arms:
            if arm.role == role and arm.version != failed.version and can_answer(arm):
                return arm
    return None


def stand_in(how: str) -> Arm:
    """An answer that no arm gave just now, in an arm's place."""
    return Arm(version="", digest="", upstream="", role=how, weight_ppm=0)


def default_columns(contract: Contract, rows: int) -> Columns:
    """The answer that the spec names for when nobody answers.

    Classifiers: the class as `label`, and it alone has a probability, 1; regressors: the number.
    """
    answer = contract.default_answer
    if not contract.classes:
        return (np.full(rows, answer, dtype="<f4").tobytes(),)
    one_hot = [float(name == answer) for name in contract.classes]
    labels = elements.join(_repeat(str(answer).encode(), rows))
    return labels, np.tile(np.array(one_hot, dtype="<f4"), rows).tobytes()


def _repeat(text: bytes, times: int) -> Sequence[bytes]:
    return [text] * times
