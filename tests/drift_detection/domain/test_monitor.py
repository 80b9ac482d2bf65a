from dataclasses import replace

import pytest

from services.drift_detection.domain import monitor
from services.drift_detection.domain.accumulation import Block
from services.drift_detection.domain.alarms import Change, Cleared, Raised
from services.drift_detection.domain.distributions import FeatureReference, Reference, Thresholds
from services.drift_detection.domain.errors_over_time import Detectors
from services.drift_detection.domain.monitor import Champion, ModelState, Policy, apply, crown
from services.drift_detection.domain.sketch import FeatureSketch, Sketch

POLICY = Policy(
    block_rows=10,
    window_rows=30,
    performance_window_rows=20,
    performance_drop=0.05,
    thresholds=Thresholds(data=0.1, prediction=0.1, quality=0.05),
    detectors=Detectors(
        adwin_delta=0.002, page_hinkley_delta=0.01, page_hinkley_threshold=0.4, page_hinkley_min_blocks=7
    ),
)
CHAMPION = Champion(
    version="3",
    epoch=7,
    reference=Reference(features={"a": FeatureReference(counts=(500, 500))}, predicted=(500, 500)),
)
START, _ = crown(ModelState(), CHAMPION)


def rows(first: int, last: int, **more: object) -> Block:
    count = last - first + 1
    plain = {"a": FeatureSketch(counts=(count // 2, count - count // 2))}
    sketch = Sketch(**{"rows": count, "features": plain, "first_at_s": first, "last_at_s": last, **more})  # type: ignore[arg-type]
    return Block(first_offset=first, last_offset=last, sketch=sketch)


def labels(first: int, last: int, errors: int) -> Block:
    count = last - first + 1
    sketch = Sketch(labels=count, errors=errors, first_at_s=first + 1.0, last_at_s=last + 1.0)
    return Block(first_offset=first, last_offset=last, sketch=sketch)


def step(state: ModelState, block: Block, source: str) -> tuple[ModelState, list[Change]]:
    return apply(state, source, block, champion=CHAMPION, policy=POLICY)


def errors_in(state: ModelState, per_block: list[int], start: int = 0) -> tuple[ModelState, list[Change]]:
    changes: list[Change] = []
    for index, errors in enumerate(per_block):
        first = start + 10 * index
        state, changed = step(state, labels(first, first + 9, errors), "labels/0/3")
        changes += changed
    return state, changes


def test_a_slot_that_grows_is_counted_once() -> None:
    state, _ = step(START, rows(0, 3), "predictions/0/3")
    state, _ = step(state, rows(0, 6), "predictions/0/3")
    assert state.open_rows.rows == 7
    assert step(state, rows(0, 3), "predictions/0/3") == (state, [])
    assert step(state, rows(0, 6), "predictions/0/3") == (state, [])


def test_labels_wait_until_a_block_is_full() -> None:
    state, changes = step(START, labels(0, 3, errors=4), "labels/0/3")
    assert (state.open_labels.labels, state.errors, changes) == (4, (), [])


def test_partitions_come_together_in_one_window() -> None:
    state = START
    for partition in range(3):
        state, _ = step(state, rows(0, 3), f"predictions/{partition}/3")
    assert (state.looks_at_rows, state.open_rows.rows, state.window[0].rows) == (1, 0, 12)


def test_other_versions_only_move_their_position() -> None:
    state, changes = step(START, rows(0, 29), "predictions/0/13")
    assert (state.looks_at_rows, state.open_rows.rows, changes) == (0, 0, [])
    assert state.positions == {"predictions/0/13": 29}


def test_positions_are_bounded() -> None:
    state = START
    for version in range(monitor.MAX_POSITIONS + 5):
        state, _ = step(state, rows(0, 3), f"predictions/0/v{version}")
    assert len(state.positions) == monitor.MAX_POSITIONS


def test_data_drift_is_looked_for_once_the_window_is_full() -> None:
    state, seen = START, []
    for index in range(8):
        drifted = {"a": FeatureSketch(counts=(10, 0))}
        state, changes = step(state, rows(10 * index, 10 * index + 9, features=drifted), "predictions/0/3")
        seen += [(index, c.alarm.signal, c.alarm.alarm_id) for c in changes]
    assert seen == [(2, "DATA", "3@7/DATA/a/3")]
    assert len(state.window) == 3


def test_a_rise_of_the_error_raises_concept_drift_with_its_window() -> None:
    state, changes = errors_in(START, [2] * 14 + [6] * 8)
    [raised] = [c for c in changes if isinstance(c, Raised) and c.alarm.signal == "CONCEPT"][:1]
    assert raised.verdict.start_s == 91.0  # seven blocks back: enough to train on
    assert raised.alarm.alarm_id == "3@7/CONCEPT/-/16"
    _, later = errors_in(state, [1] * 8, start=220)
    assert "CONCEPT" in [c.alarm.signal for c in later if isinstance(c, Cleared)]


def test_loss_of_performance_is_measured_against_the_first_blocks() -> None:
    _, changes = errors_in(START, [2, 2, 2, 4, 4])
    assert [c.alarm.signal for c in changes] == ["PERFORMANCE"]


def test_bad_data_are_seen_within_one_block() -> None:
    bad = {"a": FeatureSketch(counts=(4, 3), missing=3)}
    _, changes = step(START, rows(0, 9, features=bad), "predictions/0/3")
    assert [c.alarm.signal for c in changes] == ["DATA_QUALITY"]


def test_a_new_champion_starts_fresh_and_ends_the_old_ones_alarms() -> None:
    state, _ = errors_in(START, [2, 2, 2, 4, 4])
    assert crown(state, CHAMPION) == (state, [])
    fresh, changes = crown(state, replace(CHAMPION, version="4", epoch=9))
    assert [type(c) for c in changes] == [Cleared]
    assert (fresh.version, fresh.since_epoch, fresh.errors, fresh.alarms) == ("4", 9, (), ())
    assert fresh.positions == state.positions


def test_counting_the_same_blocks_again_changes_nothing() -> None:
    blocks = [labels(10 * i, 10 * i + 9, errors) for i, errors in enumerate([2] * 10 + [6] * 8)]
    once = START
    for block in blocks:
        once, _ = step(once, block, "labels/0/3")
    twice = START
    for index, block in enumerate(blocks):
        for again in blocks[max(0, index - 3) : index + 1]:
            twice, _ = step(twice, again, "labels/0/3")
        assert block is blocks[index]
    assert twice == once


def test_the_history_of_errors_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "MAX_ERROR_BLOCKS", 8)
    state, _ = errors_in(START, [2] * 11)
    assert (len(state.errors), state.looks_at_labels, len(state.first_errors)) == (6, 11, 2)


def test_unusual_inputs_raise_an_alarm_once_and_end_it_when_they_are_few_again() -> None:
    champion = replace(CHAMPION, reference=replace(CHAMPION.reference, calibration_rows=400))
    state, seen = START, []
    for first in range(0, 90, 10):
        scores = {"scored": 10, "unusual": 10 if first < 40 else 0}
        block = rows(first, first + 9, **scores)
        state, changes = apply(state, f"predictions/{first}/3", block, champion=champion, policy=POLICY)
        seen += [(first, type(change), change.alarm.signal) for change in changes]
    assert seen == [(20, Raised, "INPUT_SCORE"), (60, Cleared, "INPUT_SCORE")]
