"""Following a rollout: what is said of each change, and how it ends."""

import json
from collections.abc import Callable

import pytest
from rich.console import Console

from slipway.cli.rollout_watch import JsonLines, Outcome, PlainLines, Screen, Watch, follow
from slipway.errors import NotFound, SlipwayError, Unavailable
from slipway.v1.rollout_pb2 import RolloutEvent, RolloutStatus
from tests.cli.stand_in import STEP, Rollout

Change = Callable[[RolloutStatus], None]


def live(seq: int = 2, **step: object) -> RolloutStatus:
    status = Rollout().status()
    status.events[0].seq = seq
    for name, value in step.items():
        setattr(status.step, name, value)
    return status


def ended(to_state: str, *, rollout_id: str = "r1", trigger: str = "") -> RolloutStatus:
    status = RolloutStatus(state="IDLE", explanation="version 2 answers all requests")
    status.spec.name = "m"
    status.events.append(
        RolloutEvent(
            seq=9,
            rollout_id=rollout_id,
            from_state="BAKE",
            to_state=to_state,
            trigger=trigger,
            version="2",
            reason="80 rows without harm",
            actor="rollout",
        )
    )
    return status


class Plane:
    """Answers one after the other; an error is raised."""

    def __init__(self, *answers: RolloutStatus | SlipwayError) -> None:
        self._answers = list(answers)
        self.asked_events: list[int] = []

    async def status(self, model: str, *, events: int, deadline_s: float) -> RolloutStatus:
        assert (model, deadline_s > 0) == ("m", True)
        self.asked_events.append(events)
        answer = self._answers.pop(0)
        if isinstance(answer, SlipwayError):
            raise answer
        return answer


@pytest.mark.parametrize(
    ("end", "outcome", "code"),
    [
        (ended("DONE"), Outcome.PROMOTED, 0),
        (ended("ABORTED"), Outcome.TAKEN_BACK, 3),
        (ended("ROLLED_BACK"), Outcome.TAKEN_BACK, 3),
        (ended("ROLLED_BACK", trigger="restored"), Outcome.PROMOTED, 0),
    ],
)
async def test_it_ends_with_the_outcome(end: RolloutStatus, outcome: Outcome, code: int) -> None:
    found = await follow(Plane(live(), end), "m", display=PlainLines(), look_s=0)
    assert (found, found.exit_code) == (outcome, code)


async def test_without_a_live_rollout_it_tells_how_the_last_one_ended(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert await follow(Plane(ended("ABORTED")), "m", display=PlainLines()) is Outcome.TAKEN_BACK
    assert "version 2 taken back: 80 rows without harm" in capsys.readouterr().out


async def test_without_any_rollout_it_says_how_one_begins() -> None:
    with pytest.raises(NotFound, match="slipway rollout start m"):
        await follow(Plane(RolloutStatus(state="IDLE")), "m", display=PlainLines())


async def test_it_survives_an_absence_and_then_asks_for_all_that_happened(
    capsys: pytest.CaptureFixture[str],
) -> None:
    away = Unavailable("rollout: failed to connect\nto many addresses")
    plane = Plane(away, live(), away, away, ended("DONE"))
    assert await follow(plane, "m", display=PlainLines(), look_s=0) is Outcome.PROMOTED
    said = capsys.readouterr().out
    assert said.count("does not answer") == 2
    assert "many addresses" not in said
    assert said.count("answers again") == 2
    assert plane.asked_events == [1000, 1000, 20, 1000, 1000]


async def test_another_rollout_that_follows_at_once_is_not_mistaken_for_it() -> None:
    following = ended("DONE")
    following.state = "WARMING"
    following.step.rollout_id = "r2"
    assert await follow(Plane(live(), following), "m", display=PlainLines(), look_s=0) is Outcome.PROMOTED


async def test_a_state_that_is_newer_than_its_events_is_looked_at_again() -> None:
    torn = live()
    torn.state = "IDLE"
    torn.ClearField("step")
    assert (
        await follow(Plane(live(), torn, ended("DONE")), "m", display=PlainLines(), look_s=0)
        is Outcome.PROMOTED
    )


def test_an_end_that_is_out_of_sight_is_left_to_the_report() -> None:
    watch = Watch(model="m")
    watch.take(live())
    with pytest.raises(NotFound, match="slipway rollout report m --rollout r1"):
        watch.take(ended("DONE", rollout_id="r9"))


def test_each_change_is_told_once() -> None:
    watch = Watch(model="m")
    assert [c.kind for c in watch.take(live())] == ["began"]
    assert watch.take(live()) == []
    opened = live(seq=3, closed_by="", approved_by="anna")
    opened.step.findings[0].samples = 1700
    opened.step.findings[0].standing = "proven"
    changes = watch.take(opened)
    assert [c.kind for c in changes] == ["transition", "gate", "gate", "finding", "evidence"]
    assert changes[1].text == "nothing holds it any more"
    assert changes[2].text == "approved by anna"
    assert changes[3].text.startswith("proven: errors")
    assert watch.take(opened) == []


async def test_programs_get_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    await follow(Plane(live(), ended("DONE")), "m", display=JsonLines(), look_s=0)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["change"] for line in lines] == ["began", "transition", "gate", "evidence", "end"]
    assert lines[0]["data"]["step"]["kind"] == STEP.kind
    assert (lines[-1]["data"]["outcome"], lines[-1]["rollout_id"]) == ("promoted", "r1")


async def test_people_without_a_terminal_get_no_line_for_counts_that_grew(
    capsys: pytest.CaptureFixture[str],
) -> None:
    more = live()
    more.step.findings[0].samples += 1
    more.explanation = "canary at 5 %: 42 of 60 rows"
    await follow(Plane(live(), more, ended("DONE")), "m", display=PlainLines(), look_s=0)
    assert "42 of 60" not in capsys.readouterr().out


async def test_a_terminal_shows_the_last_known_state_while_nobody_answers() -> None:
    console = Console(record=True, force_terminal=True, width=120, height=60)
    with Screen(console) as screen:
        watch = Watch(model="m")
        screen.show(watch, watch.take(live()))
        screen.show(watch, watch.lose("connection refused"))
    shown = console.export_text()
    assert "41 of 60 rows" in shown
    assert "connection refused" in shown
