"""What the comparison makes of its drivers' output: read, put in proportion, said when it is missing."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "load-tests" / "compare"
MODULES = ("drivers", "forest", "report", "rounds", "scenarios", "servers", "sites", "slipway_site")


@pytest.fixture(scope="module")
def compare() -> Iterator[dict[str, Any]]:
    sys.path.insert(0, str(FOLDER))
    try:
        yield {name: importlib.import_module(name) for name in MODULES}
    finally:
        sys.path.remove(str(FOLDER))
        for name in MODULES:
            sys.modules.pop(name, None)


def measured(compare: dict[str, Any], who: str, *, rate: float = 0.0, reason: str = "", turn: int = 0) -> Any:
    figures = compare["drivers"].Figures(
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
    figures = compare["drivers"].read_ghz(text)
    assert (figures.rate_per_s, figures.p50_ms, figures.answers, figures.errors) == (1.5, 2.0, 3, 1)


def test_hey_counts_good_answers_only(compare: dict[str, Any]) -> None:
    text = "response-time,status-code\n0.001,200\n0.003,200\n0.5,503\n"
    figures = compare["drivers"].read_hey(text, seconds=2.0)
    assert (figures.rate_per_s, figures.p50_ms, figures.answers, figures.errors) == (1.0, 2.0, 2, 1)


def test_no_good_answer_is_no_figure(compare: dict[str, Any]) -> None:
    with pytest.raises(compare["servers"].CannotRun, match="not one good answer to 1 calls"):
        compare["drivers"].read_hey("response-time,status-code\n0.5,503\n", seconds=2.0)


def test_proportions_are_of_medians_over_the_rounds(compare: dict[str, Any]) -> None:
    rows = [measured(compare, "gateway", rate=rate, turn=n) for n, rate in enumerate((100, 5000, 6000))]
    rows += [measured(compare, "ray_tuned", rate=2500)]
    goals = {goal.against: goal for goal in compare["scenarios"].GOALS if goal.is_ratio}
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
    assert "| throughput at 128 in flight against tuned Ray Serve | >= 1.4 x | 0.50 x, **missed** |" in page
    assert "| throughput at 128 in flight against raw grpc.aio | >= 0.5 x | not measured |" in page
    assert "- left out: BentoML over HTTP, every load: no uv here" in page
    assert "![throughput and p99 against concurrency](day-peers.png)" in page


def test_every_contestant_of_a_scenario_has_a_site(compare: dict[str, Any]) -> None:
    known = {c.name: c.site for c in compare["scenarios"].CONTESTANTS}
    sites = {*compare["sites"].SITES, compare["scenarios"].SLIPWAY}
    for scenario in compare["scenarios"].SCENARIOS:
        assert {known[name] for name in scenario.contestants} <= sites
