"""Who answers what share of the units: a pure function of the log."""

from collections.abc import Iterable
from dataclasses import dataclass

from services.rollout.domain.log_entry import WHOLE_PPM, LogEntry, Version
from services.rollout.domain.position import Position, fold
from services.rollout.domain.state_machine import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One version behind the endpoint.

    Attributes:
        mirror_ppm: Role shadow: share of the requests that are copied to it.
        max_mirrored_per_s: Role shadow: copies a second and gateway at most.
    """

    version: Version
    role: str
    weight_ppm: int = 0
    mirror_ppm: int = 0
    max_mirrored_per_s: float = 0.0


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

    The new versions stand first: a gateway that cuts [0, 1,000,000) into the weights in their order
    moves no unit back to the champion when their share grows.
    """
    return Routes(epoch=position.epoch, salt=position.salt, arms=tuple(_arms(position)))


def _arms(position: Position) -> Iterable[Arm]:
    champion, standby = position.champion, position.standby
    new = tuple(_new_arms(position)) if position.subject else ()
    yield from (arm for arm in new if arm.weight_ppm)
    if champion:
        share_ppm = WHOLE_PPM - sum(arm.weight_ppm for arm in new)
        yield Arm(version=champion, role="champion", weight_ppm=share_ppm)
    if standby and standby not in (position.subject, *position.rivals, champion):
        yield Arm(version=standby, role="standby")
    yield from (arm for arm in new if not arm.weight_ppm)


def _new_arms(position: Position) -> Iterable[Arm]:
    """The version that is rolled out and its rivals; in the bake it is the champion itself."""
    subject, rivals = position.subject, sorted(position.rivals, key=_order)
    assert subject is not None
    if position.state in (State.CANARY, State.AB):
        yield Arm(version=subject, role="canary", weight_ppm=position.weight_ppm)
    elif position.state is State.SHADOW:
        yield Arm(
            version=subject,
            role="shadow",
            mirror_ppm=position.mirror_ppm,
            max_mirrored_per_s=position.max_mirrored_per_s,
        )
    elif position.state is State.WARMING:
        yield Arm(version=subject, role="warming")
    for rival in rivals:
        # Until their step they are only kept ready.
        if position.state is State.AB:
            yield Arm(version=rival, role="rival", weight_ppm=position.weight_ppm)
        else:
            yield Arm(version=rival, role="warming")


def _order(version: Version) -> tuple[int, str]:
    """2 before 10."""
    return len(version.version), version.version
