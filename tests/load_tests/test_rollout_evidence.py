"""The rollout's statistics on simulated traffic: few false alarms whenever one looks, and harm is seen.

The long run with its figures is load-tests/rollout_evidence/run.
"""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from services.rollout.domain import effect, evidence, mean_sequence, pairs, sample_ratio
from services.rollout.domain.betting import log_mean_exp
from services.rollout.domain.moments import NO_MOMENTS, observe

FOLDER = Path(__file__).resolve().parents[2] / "load-tests" / "rollout_evidence"
MODULES = ("paths", "streams", "cases")
RUNS = 100


@pytest.fixture(scope="module")
def simulation() -> Iterator[dict[str, Any]]:
    sys.path.insert(0, str(FOLDER))
    try:
        yield {name: importlib.import_module(name) for name in MODULES}
    finally:
        sys.path.remove(str(FOLDER))
        for name in MODULES:
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def stream(simulation: dict[str, Any]) -> Any:
    return simulation["streams"].ramping(np.random.default_rng(21), (1, 400))


def test_the_simulated_evidence_of_bad_events_is_that_of_the_service(
    simulation: dict[str, Any], stream: Any
) -> None:
    path = simulation["paths"].bad_events(stream.is_canary, stream.is_bad, stream.share)[0]
    ratios = evidence.NO_EVIDENCE
    for at in range(400):
        if stream.is_bad[0, at]:
            ratios = evidence.add_bad_event(
                ratios, is_canary=bool(stream.is_canary[0, at]), share=float(stream.share[0, at])
            )
        assert path[at] == pytest.approx(log_mean_exp(ratios), abs=1e-9)


def test_the_simulated_proof_is_that_of_the_service(simulation: dict[str, Any], stream: Any) -> None:
    path = simulation["paths"].proof_of_events(stream.is_canary, stream.is_bad, stream.share, margin=0.03)[0]
    state = effect.NO_EFFECT
    for at in range(400):
        value = effect.Value(
            number=float(stream.is_bad[0, at]),
            is_canary=bool(stream.is_canary[0, at]),
            share=float(stream.share[0, at]),
        )
        state = effect.observe(state, value, bounds=effect.Bounds(margin=0.03))
        assert path[at] == pytest.approx(state.proof.log_e_value, abs=1e-9)


def test_the_simulated_pairs_are_those_of_the_service(simulation: dict[str, Any]) -> None:
    rng = np.random.default_rng(22)
    difference = simulation["streams"].shadow(rng, (1, 300), discordant=0.3, worse=0.1)
    worse = simulation["paths"].pairs_worse(difference)[0]
    proof = simulation["paths"].pairs_no_worse(difference, 0.02)[0]
    for at in (0, 10, 299):
        seen = difference[0, : at + 1]
        counts = pairs.Pairs(
            wins=int((seen < 0).sum()), ties=int((seen == 0).sum()), losses=int((seen > 0).sum())
        )
        assert worse[at] == pytest.approx(pairs.log_e_worse(counts))
        assert proof[at] == pytest.approx(pairs.log_e_no_worse(counts, margin=0.02))


def test_the_simulated_means_are_those_of_the_service(simulation: dict[str, Any]) -> None:
    stream, values = simulation["streams"].values(np.random.default_rng(23), (1, 300), effect=0.5)
    numbers, _ = simulation["paths"].contrasts(stream.is_canary, values, stream.share, first=values[0, 0])
    path = simulation["paths"].mean_above(numbers, rho=0.05, minimum=2)[0]
    state, moments = effect.NO_EFFECT, NO_MOMENTS
    for at in range(300):
        value = effect.Value(
            number=float(values[0, at]),
            is_canary=bool(stream.is_canary[0, at]),
            share=float(stream.share[0, at]),
        )
        state, moments = effect.observe(state, value), observe(moments, float(numbers[0, at]))
    assert state.contrasts.mean == pytest.approx(moments.mean)
    expected = mean_sequence.log_e_above(state.contrasts, 0.0, rho=0.05)
    assert path[-1] == pytest.approx(expected, abs=1e-5)


def test_the_simulated_split_is_that_of_the_service(simulation: dict[str, Any]) -> None:
    is_canary = np.random.default_rng(24).random((1, 500)) < 0.2
    path = simulation["paths"].sample_ratio(is_canary, 0.1)[0]
    counts = (int(is_canary.sum()), int((~is_canary).sum()))
    assert path[-1] == pytest.approx(sample_ratio.log_e_of_counts(counts, (0.1, 0.9)))


@pytest.mark.parametrize(
    ("name", "alpha"),
    [
        ("bad events, equal, 5 to 50 %, base 0.05 to 0.35", 0.05),
        ("three guardrails, equal, 5 to 50 %, drifting", 0.05),
        ("units that fail again and again, equal, capped", 0.05),
        ("shadow, equal, 10 % discordant", 0.05),
        ("shadow proof within 2 points, 2 points worse", 0.05),
        ("canary proof within 2 points, 2 worse, base 0.02", 0.05),
        ("mean, equal, share grows, mean doubles: contrasts", 0.05),
        ("split, as promised, 10 %, alpha 0.001", 0.001),
    ],
)
def test_nothing_wrong_is_rarely_called_wrong_though_every_request_is_looked_at(
    simulation: dict[str, Any], name: str, alpha: float
) -> None:
    crossings = simulation["cases"].BY_NAME[name].run(RUNS)
    false = int((crossings != simulation["paths"].NEVER).sum())
    # Were the error exactly alpha, one seed in a thousand would fail here; the seeds are fixed.
    assert false <= binom.isf(0.001, RUNS, alpha)


@pytest.mark.parametrize(
    "name",
    [
        "usual rule (+2 points, three checks), equal, 10 %",
        "z-test at 5 % read every 100 requests, equal, 10 %",
        "units that fail again and again, equal, not capped",
        "mean, equal, share grows, mean doubles: plain averages",
    ],
)
def test_what_is_not_done_here_would_call_it_wrong(simulation: dict[str, Any], name: str) -> None:
    crossings = simulation["cases"].BY_NAME[name].run(RUNS)
    assert int((crossings != simulation["paths"].NEVER).sum()) > binom.isf(0.001, RUNS, 0.05)


@pytest.mark.parametrize(
    ("name", "median"),
    [
        ("bad events, 0.20 to 0.30, 10 %", 1700),
        ("bad events, 0.20 to 0.40, 10 %", 500),
        ("shadow, 2 points worse, 10 % discordant", 1700),
        ("shadow proof within 2 points, equal", 1700),
        ("split, 8 % in place of 10 %, alpha 0.001", 4000),
    ],
)
def test_what_is_there_is_seen_in_time(simulation: dict[str, Any], name: str, median: int) -> None:
    crossings = simulation["cases"].BY_NAME[name].run(4 * RUNS)
    assert simulation["cases"].quantile(crossings, 0.5) <= median
