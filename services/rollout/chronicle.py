"""The findings over time, for a rollout's report."""

from dataclasses import replace

from services.rollout.domain import history
from services.rollout.domain.finding import Finding
from services.rollout.domain.look import lines_of
from services.rollout.domain.policy import Policy
from services.rollout.domain.position import Position
from services.rollout.domain.state_machine import STEPS, State
from services.rollout.domain.tally import Tally
from services.rollout.unsaved import Point


def due_point(
    tally: Tally, policy: Policy, position: Position, *, last: tuple[Finding, ...], now_s: float
) -> Point | None:
    """A point, if the last one is some time ago and something was found since."""
    if not history.is_due(tally.history, now_s=now_s):
        return None
    point = point_of(tally, policy, position, now_s=now_s)
    return point if point.findings and point.findings != last else None


def point_of(tally: Tally, policy: Policy, position: Position, *, now_s: float) -> Point:
    """What is found now."""
    is_judged = position.state in STEPS or position.state is State.BAKE
    found = lines_of(position, tally, policy) if is_judged else None
    return Point(
        number=tally.history.next,
        at_s=now_s,
        step=position.step,
        weight_ppm=position.weight_ppm,
        findings=(*found.asked, *found.checks) if found else (),
    )


def with_point(tally: Tally, point: Point) -> Tally:
    """The tally that knows of one more point."""
    kept = history.thinned(tally.history) if history.must_thin(tally.history) else tally.history
    return replace(tally, history=history.add(kept, now_s=point.at_s))
