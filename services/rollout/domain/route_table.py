"""Who answers what share of the units: a pure function of the log."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from services.rollout.domain.log_entry import LogEntry, Version
from services.rollout.domain.position import Position, fold
from services.rollout.domain.state_machine import State

WHOLE_PPM: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One version behind the endpoint."""

    version: Version
    role: str
    weight_ppm: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """The arms of one model. Weights sum to WHOLE_PPM, or to 0 before the first champion."""

    epoch: int
    salt: str
    arms: tuple[Arm, ...]


def fold_routes(entries: Iterable[LogEntry]) -> Routes:
    """The route table that a whole log leads to."""
    return routes_of(fold(entries))


def routes_of(position: Position) -> Routes:
    """The route table of a position.

    The canary stands first: a gateway that cuts [0, 1,000,000) into the weights in their order
    moves no unit back from canary to champion when the canary's share grows.
    """
    return Routes(epoch=position.epoch, salt=position.salt, arms=tuple(_arms(position)))


def _arms(position: Position) -> Iterable[Arm]:
    subject, champion, standby = position.subject, position.champion, position.standby
    canary_ppm = position.weight_ppm if position.state is State.CANARY else 0
    if subject and position.state is State.CANARY:
        yield Arm(version=subject, role="canary", weight_ppm=canary_ppm)
    if champion:
        yield Arm(version=champion, role="champion", weight_ppm=WHOLE_PPM - canary_ppm)
    if standby and standby not in (subject, champion):
        yield Arm(version=standby, role="standby", weight_ppm=0)
    if subject and position.state is State.WARMING:
        yield Arm(version=subject, role="warming", weight_ppm=0)
