"""What the comparison makes of its drivers' output: read, put in proportion, said when it is missing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.load_tests.folders import imported

NAMES = (
    "forest",
    "goals",
    "outcome",
    "readings",
    "report",
    "rounds",
    "scenarios",
    "servers",
    "sites",
    "trials",
)


@pytest.fixture(scope="module")
def compare() -> Iterator[dict[str, Any]]:
    with imported("compare", names=NAMES) as modules:
        yield modules


def measured(compare: dict[str, Any], who: str, *, rate: float = 0.0, reason: str = "", turn: int = 0) -> Any:
    figures = compare["readings"].Figures(
        rate_per_s=rate, p50_ms=1000 / (rate or 1), p99_ms=9.0, answers=10, errors=2
    )
    return compare["rounds"].Measured(
        contestant=who,
        load=compare["scenarios"].Load() if reason else compare["scenarios"].Load(in_flight=128),
        round=turn,
        others=0.0,
        reason=reason,
        figures=None if reason else figures,
    )


def results(compare: dict[str, Any], *rows: Any) -> Any:
    scenario = next(s for s in compare["scenarios"].SCENARIOS if s.name == "peers")
    return compare["report"].Results(scenario, rows)


def test_ghz_counts_good_answers_only(compare: dict[str, Any]) -> None:
    details = [{"latency": n * 1_000_000, "status": "OK"} for n in (1, 2, 3)]
    details.append({"latency": 90_000_000, "status": "Unavailable"})
    text = json.dumps({"count": 4, "total": 2_000_000_000, "details": details})
    figures = compare["readings"].read_ghz(text)
    assert (figures.rate_per_s, figures.p50_ms, figures.answers, figures.errors) == (1.5, 2.0, 3, 1)


def test_hey_counts_good_answers_only(compare: dict[str, Any]) -> None:
    text = "response-time,status-code\n0.001,200\n0.003,200\n0.5,503\n"
    figures = compare["readings"].read_hey(text, seconds=2.0)
    assert (figures.rate_per_s, figures.p50_ms, figures.answers, figures.errors) == (1.0, 2.0, 2, 1)


def test_no_good_answer_is_no_figure(compare: dict[str, Any]) -> None:
    with pytest.raises(compare["servers"].CannotRun, match="not one good answer to 1 calls"):
        compare["readings"].read_hey("response-time,status-code\n0.5,503\n", seconds=2.0)
    with pytest.raises(compare["servers"].CannotRun, match="not one call"):
        compare["readings"].read_vegeta("")


def test_proportions_are_of_medians_over_the_rounds(compare: dict[str, Any]) -> None:
    rows = [measured(compare, "gateway", rate=rate, turn=n) for n, rate in enumerate((100, 5000, 6000))]
    rows += [measured(compare, "ray_tuned", rate=2500)]
    goals = {goal.against: goal for goal in compare["goals"].GOALS if goal.is_ratio}
    found = results(compare, *rows)
    assert compare["report"].reached(goals["ray_tuned"], found) == 2.0
    assert compare["report"].reached(goals["raw_grpc"], found) is None


def test_a_page_says_what_was_missed_and_who_was_left_out(compare: dict[str, Any]) -> None:
    found = results(
        compare,
        measured(compare, "gateway", rate=2000),
        measured(compare, "ray_tuned", rate=4000),
        measured(compare, "bentoml", reason="no uv\nhere"),
    )
    page = compare["report"].page([found], head=["# head"], name="day")
    assert (
        "| throughput at 128 in flight against tuned Ray Serve | >= 1.4 x, aim 1.8 | 0.50 x, **missed** |"
        in page
    )
    assert "| throughput at 128 in flight against raw grpc.aio | >= 0.5 x, aim 0.65 | not measured |" in page
    assert "- left out: BentoML: HTTP, JSON, every load: no uv here" in page
    assert "![throughput and p99 against concurrency](day-peers.png)" in page


def test_every_contestant_of_a_scenario_has_a_site(compare: dict[str, Any]) -> None:
    known = {c.name: c.site for c in compare["scenarios"].CONTESTANTS}
    sites = {*compare["sites"].SITES, compare["scenarios"].SLIPWAY}
    for scenario in compare["scenarios"].SCENARIOS:
        assert {known[name] for name in scenario.contestants} <= sites


def test_vegeta_counts_good_answers_over_the_time_they_took(compare: dict[str, Any]) -> None:
    calls = [(0, 200, 1_000_000), (500_000_000, 200, 3_000_000), (900_000_000, 503, 100_000_000)]
    text = "\n".join(f"{at},{status},{took},10,20,,,," for at, status, took in calls)
    figures = compare["readings"].read_vegeta(text)
    assert (figures.rate_per_s, figures.p50_ms, figures.answers, figures.errors) == (2.0, 2.0, 2, 1)


def test_probabilities_are_found_in_every_form_of_an_answer(compare: dict[str, Any]) -> None:
    read = compare["sites"].probabilities_of
    expected = [0.25, 0.75]
    assert read(json.dumps({"label": ["1"], "probabilities": [expected]}).encode(), None) == [expected]
    outputs = [{"name": "label", "data": ["1"]}, {"name": "probabilities", "data": expected}]
    assert read(json.dumps({"outputs": outputs}).encode(), None) == expected
    sizes = {"label": 5, "probabilities": 8}
    outputs = [{"name": n, "parameters": {"binary_data_size": size}} for n, size in sizes.items()]
    head = json.dumps({"outputs": outputs}).encode()
    body = head + b"\1\0\0\0001" + np.array(expected, dtype="<f4").tobytes()
    assert list(read(body, str(len(head)))) == expected


def test_the_binary_request_says_how_long_its_tensor_is(compare: dict[str, Any], tmp_path: Path) -> None:
    forest = compare["forest"].Forest(folder=tmp_path)
    (tensor,) = json.loads(forest.binary_head)["inputs"]
    assert tensor["parameters"]["binary_data_size"] == 4 * 30 == forest.row.nbytes


def test_every_figure_that_is_aimed_at_stands_in_the_report(compare: dict[str, Any]) -> None:
    figures = list(compare["report"].aimed_at([], []))
    goals, measurements = compare["goals"].GOALS, compare["goals"].MEASUREMENTS
    assert [it.title for it in figures] == [it.title for it in (*goals, *measurements)]
    assert {it.measured.split(":")[0] for it in figures} == {"not measured"}


def test_figures_of_other_load_tests_are_taken_over(compare: dict[str, Any], tmp_path: Path) -> None:
    outcome, goals = compare["outcome"], compare["goals"]
    told = outcome.figure(goals.GOODPUT, "80%", is_met=False)
    outcome.write(outcome.Outcome(figures=(told,), lines=("a line",)), tmp_path / "it.json", more=1)
    page = compare["report"].page(
        [], head=["# head"], name="day", trials={"Load": outcome.read(tmp_path / "it.json")}
    )
    assert f"| {goals.GOODPUT.title} | >= 90 % of the capacity | 80%, **missed** |" in page
    assert "## Load\n\na line\n" in page


def test_every_trial_can_be_run_and_gives_a_figure(compare: dict[str, Any]) -> None:
    trials = {trial.name for trial in compare["trials"].TRIALS}
    assert trials == {it.trial for it in compare["goals"].MEASUREMENTS if it.trial}
    for trial in trials:
        assert (compare["sites"].ROOT / "load-tests" / trial / "run").is_file()
