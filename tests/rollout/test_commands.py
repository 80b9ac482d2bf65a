from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.rollout import commands
from services.rollout.control import Model, Move
from services.rollout.domain.moment import Moment
from services.rollout.domain.policy import of_spec
from services.rollout.domain.promotion import skipped_approvals
from services.rollout.domain.state_machine import Trigger
from services.rollout.rows import Candidate, SpecRow
from slipway import spec
from slipway.errors import Conflict, Denied, InvalidInput
from tests.rollout.rollouts import NAMES, History, canary_at

YAML = """
name: m
task: binary
features: [{name: a}]
label: {name: y, classes: ["0", "1"]}
rollout:
  steps: [{weight_percent: 5, approval: owner}, {weight_percent: 50}]
"""


class FakeControl:
    """One model in memory; every move is kept, and what changes no route is applied."""

    def __init__(self, history: History, yaml: str = YAML) -> None:
        given = spec.parse(yaml)
        row = SpecRow(
            model="m",
            revision=1,
            tenant="default",
            yaml=yaml,
            recipe="",
            recipe_digest="",
            digest="",
            applied_by="test",
            applied_at_s=0.0,
        )
        self.history, self.moves = history, list[Move]()
        self.model = Model(row=row, spec=given, newest=of_spec(given), position=history.position)

    @asynccontextmanager
    async def locked(self, _name: str) -> AsyncIterator[Model]:
        yield self.model

    def moment(self) -> Moment:
        return Moment(now_s=0.0)

    async def move(self, model: Model, move: Move) -> None:
        self.moves.append(move)
        if move.trigger in (Trigger.PAUSE, Trigger.RESUME, Trigger.APPROVE):
            model.position = self.history.add(move.trigger, actor=move.actor, reason=move.reason)


async def _run(command: Any, control: FakeControl, **more: Any) -> list[Trigger]:
    await command(control, "m", actor="ann", reason="", **more)
    return [move.trigger for move in control.moves]


async def test_who_has_the_role_signs_and_once_is_enough() -> None:
    control = FakeControl(canary_at(5))
    assert await _run(commands.approve, control, roles=("owner",)) == [Trigger.APPROVE]
    assert control.model.position.approved_by == "ann"
    assert await _run(commands.approve, control, roles=("owner",)) == [Trigger.APPROVE]


async def test_nobody_else_signs_not_even_an_admin() -> None:
    control = FakeControl(canary_at(5))
    with pytest.raises(Denied, match="'owner'"):
        await _run(commands.approve, control, roles=("admin",))
    with pytest.raises(Denied, match="'owner'"):
        await _run(commands.promote, control, roles=("admin",))
    assert await _run(commands.promote, control, roles=("owner",)) == [Trigger.PROMOTE]


async def test_a_second_pause_or_resume_changes_nothing() -> None:
    control = FakeControl(canary_at(5))
    assert await _run(commands.resume, control) == []
    await _run(commands.pause, control)
    assert await _run(commands.pause, control) == [Trigger.PAUSE]
    await _run(commands.resume, control)
    assert await _run(commands.resume, control) == [Trigger.PAUSE, Trigger.RESUME]


@pytest.mark.parametrize("command", [commands.pause, commands.resume])
async def test_without_a_rollout_there_is_nothing_to_pause(command: Any) -> None:
    with pytest.raises(Conflict, match="no rollout is under way"):
        await _run(command, FakeControl(History().promote(1)))


async def test_without_a_step_there_is_nothing_to_sign() -> None:
    with pytest.raises(Conflict, match="no step is under way"):
        await _run(commands.approve, FakeControl(History().promote(1)), roles=("owner",))


async def test_an_abort_when_idle_does_nothing() -> None:
    assert await _run(commands.abort, FakeControl(History().promote(1))) == []


async def test_rivals_without_an_ab_step_are_refused_before_anything_starts() -> None:
    control = FakeControl(History().promote(1))
    candidate = Candidate(model="m", subject=NAMES[2], rivals=(NAMES[3],), actor="ann", reason="", quality="")
    with pytest.raises(InvalidInput, match="the spec has none"):
        await commands.start_rollout(control, candidate)  # type: ignore[arg-type]
    assert control.moves == []


def test_a_promotion_stands_for_the_approvals_that_it_goes_past_and_outside_of_steps_for_none() -> None:
    policy = FakeControl(canary_at(5)).model.policy
    assert skipped_approvals(canary_at(5).position, policy) == {"owner"}
    assert skipped_approvals(History().promote(1).position, policy) == frozenset()


async def test_what_was_permitted_for_one_version_does_not_hold_for_another() -> None:
    control = FakeControl(canary_at(5))
    for command in (commands.approve, commands.promote):
        with pytest.raises(Conflict, match="no longer on its way"):
            await _run(command, control, roles=("owner",), subject=NAMES[3])
    subject = control.model.position.subject
    assert await _run(commands.approve, control, roles=("owner",), subject=subject) == [Trigger.APPROVE]
