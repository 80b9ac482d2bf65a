"""What the load test of rollouts makes of its answers; its broken version is broken where it is asked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from slipway import spec
from slipway.oip import open_inference_pb2 as oip
from tests.load_tests.folders import imported

NAMES = ("rollouts_judge", "rollouts_models", "goals", "outcome")
ANSWERS = [(1.0, "2", 5), (2.0, "2", 5), (2.1, "1", 6), (2.4, "2", 5), (2.5, "1", 6), (9.0, "2", 7)]


@pytest.fixture(scope="module")
def rollouts() -> Iterator[dict[str, Any]]:
    with imported("rollouts", "compare", names=NAMES) as modules:
        yield modules


def live(rollouts: dict[str, Any], **changes: Any) -> Any:
    change = rollouts["rollouts_judge"].Change
    usual = {
        "capacity_per_s": 2000.0,
        "asked_per_s": 1000.0,
        "answered": 5000,
        "failures": {},
        "not_sent": 0,
        "rounds": 50,
        "changes": (
            change(kind="abort", last_answer_s=0.2),
            change(kind="switch", last_answer_s=0.1, workers_s=(0.05, 0.3)),
        ),
    }
    return rollouts["rollouts_judge"].Live(**(usual | changes))


def many(rollouts: dict[str, Any], *, stuck: int, longest_s: float) -> Any:
    delays = {"its replicas are ready": (0.1, longest_s), "its guard fails": (0.05,)}
    return rollouts["rollouts_judge"].Many(models=200, stuck=stuck, delays_s=delays)


def judged(rollouts: dict[str, Any], *given: Any) -> list[bool | None]:
    return [figure.is_met for figure in rollouts["rollouts_judge"].figures_of(*given)]


def test_the_last_answer_counts_from_the_decision(rollouts: dict[str, Any]) -> None:
    last = rollouts["rollouts_judge"].last_answer_s
    assert last(ANSWERS, "2", decided_s=2.0, until_s=3.0) == pytest.approx(0.4)
    assert last(ANSWERS, "2", decided_s=2.0) == 7.0
    assert last(ANSWERS, "1", decided_s=2.5) == 0.0


def test_all_figures_are_met_by_a_good_run(rollouts: dict[str, Any]) -> None:
    calm, beside = (many(rollouts, stuck=stuck, longest_s=0.5) for stuck in (0, 20))
    assert judged(rollouts, live(rollouts), [calm, beside]) == [True] * 4


@pytest.mark.parametrize(
    ("changes", "met"),
    [
        ({"failures": {"UNAVAILABLE": 1}}, [True, False, True]),
        ({"rounds": 4}, [True, None, True]),
        ({"rounds": 4, "failures": {"UNAVAILABLE": 1}}, [True, False, True]),
        ({"changes": ()}, [None, True, None]),
    ],
    ids=["a failure", "too few rounds to say", "a failure says enough", "nothing by the clock"],
)
def test_what_is_missed_and_what_says_nothing(
    rollouts: dict[str, Any], changes: dict[str, Any], met: list[bool | None]
) -> None:
    assert judged(rollouts, live(rollouts, **changes), [])[:3] == met


def test_slow_changes_are_missed(rollouts: dict[str, Any]) -> None:
    change = rollouts["rollouts_judge"].Change
    slow = (
        change(kind="guard", last_answer_s=1.5),
        change(kind="switch", last_answer_s=0.1, workers_s=(0.1, 2.0)),
    )
    assert judged(rollouts, live(rollouts, changes=slow), []) == [False, True, False, None]


def test_only_the_delay_beside_stuck_rollouts_is_judged(rollouts: dict[str, Any]) -> None:
    calm = many(rollouts, stuck=0, longest_s=5.0)
    assert judged(rollouts, None, [calm])[-1] is None
    assert judged(rollouts, None, [calm, many(rollouts, stuck=20, longest_s=5.0)])[-1] is False


def test_the_page_has_a_line_for_each_kind(rollouts: dict[str, Any]) -> None:
    text = "\n".join(rollouts["rollouts_judge"].page(live(rollouts), [many(rollouts, stuck=20, longest_s=1)]))
    assert "| abort | 1 | 0.20 s, 0.20 s | - |" in text
    assert "| switch | 1 | 0.10 s, 0.10 s | 0.30 s |" in text
    assert "| 200 | 20 | its replicas are ready |" in text


def test_its_specs_are_specs(rollouts: dict[str, Any]) -> None:
    models = rollouts["rollouts_models"]
    for steps in ("", "{weight_percent: 50, min_rows: 40}"):
        given = spec.parse(models.spec_text(steps=steps, bake_rows=40))
        assert (given.name, len(given.features)) == (models.MODEL, 6)


def test_the_broken_version_answers_its_sample_and_nan_where_it_is_asked(
    rollouts: dict[str, Any], tmp_path: Path
) -> None:
    models = rollouts["rollouts_models"]
    files = models.make_files(tmp_path)
    request = oip.ModelInferRequest.FromString(models.request_bytes())
    asked = np.frombuffer(request.raw_input_contents[0], dtype="<f4").reshape(1, -1)
    sample = np.full((1, 6), 0.5, dtype=np.float32)
    for name, is_broken in (("first", False), ("second", False), ("broken", True)):
        session = onnxruntime.InferenceSession(str(files.onnx(name)), providers=["CPUExecutionProvider"])
        answers = [session.run(["probabilities"], {"X": rows})[0] for rows in (sample, asked)]
        assert np.isfinite(answers[0]).all()
        assert bool(np.isnan(answers[1]).any()) is is_broken
