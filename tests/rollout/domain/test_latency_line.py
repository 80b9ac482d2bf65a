from math import inf, nan

import numpy as np
import pytest

from services.rollout.domain.latency_line import LONGEST_S, LatencyLine, observe, quantile_s
from slipway.errors import InvalidInput


def of(latencies_s: list[float]) -> LatencyLine:
    line = LatencyLine()
    for latency_s in latencies_s:
        line = observe(line, latency_s)
    return line


def test_before_any_latency_nothing_is_slow() -> None:
    assert quantile_s(LatencyLine(), 0.99) == inf


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_the_line_lies_within_five_percent_above_the_quantile(share: float) -> None:
    latencies_s = np.random.default_rng(5).lognormal(-4, 1, 2000)
    exact = float(np.quantile(latencies_s, share, method="inverted_cdf"))
    assert exact * 0.999 <= quantile_s(of(list(latencies_s)), share) <= exact * 1.051


def test_very_short_and_very_long_ones_share_the_outer_buckets() -> None:
    line = of([0.0, 1e-9, 1e9, 1e12])
    assert (len(line.buckets), line.count) == (2, 4)
    assert quantile_s(line, 1.0) >= LONGEST_S


@pytest.mark.parametrize("latency_s", [-1.0, nan, inf])
def test_refuses_what_is_no_latency(latency_s: float) -> None:
    with pytest.raises(InvalidInput, match="latency"):
        observe(LatencyLine(), latency_s)
