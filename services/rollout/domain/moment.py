"""Now, and since when somebody watches."""

from dataclasses import dataclass

from services.rollout.domain.policy import Policy
from services.rollout.domain.position import Position
from services.rollout.domain.state_machine import State
from services.rollout.domain.verdict import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A point in time.

    Attributes:
        watched_from_s: When this process began to look: what was before counts against no deadline.
    """

    now_s: float
    watched_from_s: float = 0.0


def elapsed_s(position: Position, at: Moment) -> float:
    """How long the present step has lasted while somebody watched; a pause stops the clock."""
    until_s = position.paused_at_s if position.paused_by else at.now_s
    return max(0.0, until_s - max(position.entered_at_s, at.watched_from_s))


def clock_of(position: Position, policy: Policy, at: Moment) -> Clock:
    """The times of the present step, of the warming, or of the bake."""
    elapsed, rollout = elapsed_s(position, at), policy.rollout
    if position.state is State.WARMING:
        return Clock(deadline_left_s=rollout.warm_deadline_s - elapsed)
    if position.state is State.BAKE:
        return Clock(deadline_left_s=rollout.deadline_s - elapsed)
    step = rollout.steps[position.step]
    deadline_s = rollout.deadline_s if step.deadline_s is None else step.deadline_s
    return Clock(dwell_left_s=step.dwell_s - elapsed, deadline_left_s=deadline_s - elapsed)
