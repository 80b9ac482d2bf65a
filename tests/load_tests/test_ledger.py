"""What the ledger run makes of its ledger and of the records."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slipway.envelope import Event
from slipway.ids import new_id
from slipway.v1.predictions_pb2 import (
    PredictionContext,
    PredictionServed,
    PredictionsUnrecorded,
    PredictionWithheld,
)

FOLDER = Path(__file__).resolve().parents[2] / "load-tests" / "ledger"
MODULES = ("ledger_files", "ledger_audit", "ledger_faults")


@pytest.fixture(scope="module")
def ledger() -> Iterator[dict[str, Any]]:
    sys.path.insert(0, str(FOLDER))
    try:
        yield {name: importlib.import_module(name) for name in MODULES}
    finally:
        sys.path.remove(str(FOLDER))
        for name in MODULES:
            sys.modules.pop(name, None)


def served(identity: str, number: int, *, latency_s: float = 0.1) -> Event:
    context = PredictionContext(prediction_id=identity, request_id=f"{number:x}", latency_s=latency_s)
    return event(identity, PredictionServed(context=context))


def event(identity: str, message: Any) -> Event:
    return Event(topic="predictions", key=identity, message=message, event_id=identity)


def verdict(ledger: dict[str, Any], answers: list[tuple[str, int]], *events: Event, failed: Any = ()) -> Any:
    audit, records = ledger["ledger_audit"], ledger["ledger_audit"].Records()
    for each in events:
        records.add(each, each.message.SerializeToString())
    lines = [
        ledger["ledger_files"].Answer(prediction_id=identity, number=number, is_unrecorded=False)
        for identity, number in answers
    ]
    return audit.judge(lines, set(failed), records)


def test_every_answer_with_its_record_is_kept(ledger: dict[str, Any]) -> None:
    found = verdict(ledger, [("a", 1), ("b", 2)], served("a", 1), served("b", 2), served("a", 1))
    assert found.is_kept
    assert (found.answered, found.distinct, found.shipped_twice) == (2, 2, 1)


def test_what_a_killed_gateway_recorded_and_did_not_answer_is_told_apart(ledger: dict[str, Any]) -> None:
    found = verdict(ledger, [("a", 1)], served("a", 1), served("b", 2), failed={2})
    assert found.is_kept
    assert found.recorded_not_answered == 1


@pytest.mark.parametrize(
    ("field", "answers", "events"),
    [
        ("missing", [("a", 1), ("b", 2)], [served("a", 1)]),
        ("double", [("a", 1)], [served("a", 1), served("a", 1, latency_s=0.2)]),
        ("unknown", [("a", 1)], [served("a", 2)]),
        ("unknown", [("a", 1)], [served("a", 1), served("z", 7)]),
        ("answered_twice", [("a", 1), ("a", 1)], [served("a", 1)]),
        (
            "answered_though_withheld",
            [("a", 1)],
            [
                served("a", 1),
                event("a/withheld", PredictionWithheld(context=PredictionContext(prediction_id="a"))),
            ],
        ),
    ],
)
def test_what_breaks_the_invariant_is_named(
    ledger: dict[str, Any], field: str, answers: list[tuple[str, int]], events: list[Event]
) -> None:
    found = verdict(ledger, answers, *events)
    assert not found.is_kept
    assert getattr(found, field) == 1


def test_gaps_are_added_up(ledger: dict[str, Any]) -> None:
    gaps = [event(name, PredictionsUnrecorded(answered=n)) for name, n in (("g", 3), ("h", 4))]
    assert verdict(ledger, [], *gaps).told_unrecorded == 7


def test_a_run_that_was_broken_off_goes_on(ledger: dict[str, Any], tmp_path: Path) -> None:
    files = ledger["ledger_files"]
    first, ids = files.fresh(tmp_path), [new_id(), new_id()]
    first.add_answer(ids[0], 0, is_unrecorded=False)
    first.add_failure(1, "UNAVAILABLE")
    first.sent = 2
    first.save()
    with (tmp_path / "answers.bin").open("ab") as file:
        file.write(b"torn")
    second = files.resumed(tmp_path)
    assert (second.answered, second.codes["UNAVAILABLE"]) == (1, 1)
    assert second.sent > 2
    second.add_answer(ids[1], second.sent, is_unrecorded=True)
    second.save()
    assert [answer.prediction_id for answer in second.answers()] == ids
    assert second.failures() == {1}
    assert not list(files.fresh(tmp_path).folder.iterdir())


def test_blows_are_spread_over_the_run(ledger: dict[str, Any]) -> None:
    faults = ledger["ledger_faults"].plan(100, broker_restarts=1, gateway_kills=3, is_kafka_away=True)
    assert [(fault.at, fault.kind) for fault in faults] == [
        (25, "gateway kill -9"),
        (40, "kafka away"),
        (50, "broker restart"),
        (50, "gateway kill -9"),
        (75, "gateway kill -9"),
    ]
