"""What is asked of the tests: how often they cry for nothing, and how soon they see what is there."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import log

import numpy as np
import paths
import streams
from numpy.typing import NDArray
from paths import NEVER

from services.rollout.domain.mean_sequence import scale

LIMIT = log(20.0)
SPLIT_LIMIT = log(1000.0)
Crossings = NDArray[np.int64]
Shape = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One line of the report.

    Attributes:
        requests: Length of a run.
        is_null: Nothing is wrong: crossings are false.
        seed: Of this case alone.
        chunk: Runs simulated at once.
        part: Of the runs asked for, where runs are long.
    """

    name: str
    requests: int
    is_null: bool
    seed: int
    simulate: Callable[[np.random.Generator, Shape], Crossings]
    chunk: int = 50
    part: float = 1.0

    def run(self, runs: int) -> Crossings:
        """When each run crossed; the same for the same runs."""
        return np.concatenate(list(self._chunks(max(1, round(runs * self.part)))))

    def _chunks(self, runs: int) -> Iterator[Crossings]:
        rng = np.random.default_rng(self.seed)
        for begun in range(0, runs, self.chunk):
            yield self.simulate(rng, (min(self.chunk, runs - begun), self.requests))


def _events(rng: np.random.Generator, shape: Shape, *, canary: float) -> Crossings:
    s = streams.steady(rng, shape, champion=0.2, canary=canary)
    return paths.crossing(paths.bad_events(s.is_canary, s.is_bad, s.share), LIMIT)


def _events_ramping(rng: np.random.Generator, shape: Shape, *, factor: float = 1.0) -> Crossings:
    s = streams.ramping(rng, shape, factor=factor)
    return paths.crossing(paths.bad_events(s.is_canary, s.is_bad, s.share), LIMIT)


def _three_guardrails(rng: np.random.Generator, shape: Shape) -> Crossings:
    """Failures, slow requests, wrong answers of the same requests, alpha in three."""
    s = streams.ramping(rng, shape)
    slow = rng.random(shape) < 0.01
    wrong = s.is_bad ^ (rng.random(shape) < 0.1)
    crossed = [
        paths.crossing(paths.bad_events(s.is_canary, bad, s.share), LIMIT + log(3))
        for bad in (s.is_bad, slow, wrong)
    ]
    return np.asarray(np.minimum.reduce(crossed))


def _usual(rng: np.random.Generator, shape: Shape, *, canary: float = 0.2) -> Crossings:
    s = streams.steady(rng, shape, champion=0.2, canary=canary)
    return paths.usual_rule(s.is_canary, s.is_bad)


def _peeking(rng: np.random.Generator, shape: Shape) -> Crossings:
    s = streams.steady(rng, shape, champion=0.2, canary=0.2)
    return paths.peeking_z_test(s.is_canary, s.is_bad)


def _sticky(rng: np.random.Generator, shape: Shape, *, is_capped: bool) -> Crossings:
    s, is_first = streams.sticky(rng, shape, units=400)
    return paths.crossing(paths.bad_events(s.is_canary, is_first if is_capped else s.is_bad, s.share), LIMIT)


def _proof(rng: np.random.Generator, shape: Shape, *, champion: float, canary: float) -> Crossings:
    s = streams.steady(rng, shape, champion=champion, canary=canary)
    return paths.crossing(paths.proof_of_events(s.is_canary, s.is_bad, s.share, margin=0.02), LIMIT)


def _shadow(rng: np.random.Generator, shape: Shape, *, worse: float) -> Crossings:
    difference = streams.shadow(rng, shape, discordant=0.1, worse=worse)
    return paths.crossing(paths.pairs_worse(difference), LIMIT)


def _shadow_proof(rng: np.random.Generator, shape: Shape, *, worse: float) -> Crossings:
    difference = streams.shadow(rng, shape, discordant=0.1, worse=worse)
    return paths.crossing(paths.pairs_no_worse(difference, margin=0.02), LIMIT)


def _mean(rng: np.random.Generator, shape: Shape, *, effect: float, is_weighed: bool = True) -> Crossings:
    s, values = streams.values(rng, shape, effect=effect)
    if is_weighed:
        numbers, _ = paths.contrasts(s.is_canary, values, s.share, first=1.0)
        return paths.crossing(paths.mean_above(numbers, rho=scale(4000, alpha=0.05), minimum=1000), LIMIT)
    return _plain_averages(s.is_canary, values)


def _plain_averages(is_canary: paths.Flags, values: paths.Numbers) -> Crossings:
    """The usual confidence sequence of each arm's own average: blind to what changed meanwhile."""
    total = np.zeros_like(values)
    error = np.zeros_like(values)
    for arm, sign in ((is_canary, 1), (~is_canary, -1)):
        n = np.maximum(np.cumsum(arm, axis=1), 1)
        mean = np.cumsum(np.where(arm, values, 0), axis=1) / n
        total += sign * mean
        error += np.maximum(np.cumsum(np.where(arm, values**2, 0), axis=1) / n - mean**2, 0) / n
    n, rho = np.arange(1, values.shape[1] + 1), scale(4000, alpha=0.1)
    width = np.sqrt(error * 2 * (n * rho**2 + 1) / (n * rho**2) * np.log(np.sqrt(n * rho**2 + 1) / 0.1))
    path = np.where(total > width, LIMIT + 1.0, 0.0)
    path[:, :1000] = 0
    return paths.crossing(path, LIMIT)


def _split(rng: np.random.Generator, shape: Shape, *, share: float) -> Crossings:
    return paths.crossing(paths.sample_ratio(rng.random(shape) < share, 0.1), SPLIT_LIMIT)


CASES = (
    Case(name="bad events, equal, 10 %, base 0.20", requests=10_000, is_null=True, seed=1,
         simulate=lambda g, n: _events(g, n, canary=0.2)),
    Case(name="bad events, equal, 5 to 50 %, base 0.05 to 0.35", requests=10_000, is_null=True, seed=2,
         simulate=_events_ramping),
    Case(name="three guardrails, equal, 5 to 50 %, drifting", requests=10_000, is_null=True, seed=3,
         simulate=_three_guardrails),
    Case(name="usual rule (+2 points, three checks), equal, 10 %", requests=10_000, is_null=True, seed=4,
         simulate=_usual),
    Case(name="z-test at 5 % read every 100 requests, equal, 10 %", requests=10_000, is_null=True, seed=5,
         simulate=_peeking),
    Case(name="units that fail again and again, equal, not capped", requests=4000, is_null=True, seed=6,
         simulate=lambda g, n: _sticky(g, n, is_capped=False)),
    Case(name="units that fail again and again, equal, capped", requests=4000, is_null=True, seed=6,
         simulate=lambda g, n: _sticky(g, n, is_capped=True)),
    Case(name="bad events, 0.20 to 0.30, 10 %", requests=10_000, is_null=False, seed=7,
         simulate=lambda g, n: _events(g, n, canary=0.3)),
    Case(name="bad events, 0.20 to 0.40, 10 %", requests=10_000, is_null=False, seed=8,
         simulate=lambda g, n: _events(g, n, canary=0.4)),
    Case(name="bad events, half as many again, 5 to 50 %, drifting", requests=10_000, is_null=False, seed=9,
         simulate=lambda g, n: _events_ramping(g, n, factor=1.5)),
    Case(name="shadow, equal, 10 % discordant", requests=10_000, is_null=True, seed=10,
         simulate=lambda g, n: _shadow(g, n, worse=0.0)),
    Case(name="shadow, 2 points worse, 10 % discordant", requests=10_000, is_null=False, seed=11,
         simulate=lambda g, n: _shadow(g, n, worse=0.02)),
    Case(name="shadow proof within 2 points, 2 points worse", requests=10_000, is_null=True, seed=12,
         simulate=lambda g, n: _shadow_proof(g, n, worse=0.02)),
    Case(name="shadow proof within 2 points, equal", requests=10_000, is_null=False, seed=13,
         simulate=lambda g, n: _shadow_proof(g, n, worse=0.0)),
    Case(name="canary proof within 2 points, 2 worse, base 0.02", requests=20_000, is_null=True, seed=14,
         simulate=lambda g, n: _proof(g, n, champion=0.02, canary=0.04)),
    Case(name="canary proof within 2 points, equal, base 0.02", requests=20_000, is_null=False, seed=15,
         simulate=lambda g, n: _proof(g, n, champion=0.02, canary=0.02)),
    Case(name="mean, equal, share grows, mean doubles: plain averages", requests=10_000, is_null=True,
         seed=16, simulate=lambda g, n: _mean(g, n, effect=0.0, is_weighed=False)),
    Case(name="mean, equal, share grows, mean doubles: contrasts", requests=10_000, is_null=True,
         seed=16, simulate=lambda g, n: _mean(g, n, effect=0.0)),
    Case(name="mean, 20 % higher, share grows: contrasts", requests=10_000, is_null=False, seed=17,
         simulate=lambda g, n: _mean(g, n, effect=0.2)),
    Case(name="split, as promised, 10 %, alpha 0.001", requests=20_000, is_null=True, seed=18,
         simulate=lambda g, n: _split(g, n, share=0.1)),
    Case(name="split, 8 % in place of 10 %, alpha 0.001", requests=20_000, is_null=False, seed=19,
         simulate=lambda g, n: _split(g, n, share=0.08)),
    Case(name="canary proof within 2 points, equal, base 0.20", requests=120_000, is_null=False, seed=20,
         simulate=lambda g, n: _proof(g, n, champion=0.2, canary=0.2), chunk=10, part=0.1),
    Case(name="bad events, 0.20 to 0.22, 10 %", requests=120_000, is_null=False, seed=21,
         simulate=lambda g, n: _events(g, n, canary=0.22), chunk=10, part=0.1),
)  # fmt: skip
BY_NAME = {case.name: case for case in CASES}


def crossed_share(crossings: Crossings) -> float:
    """Runs that crossed."""
    return float((crossings != NEVER).mean())


def quantile(crossings: Crossings, share: float) -> float:
    """At which request this share of the runs had crossed; infinite if fewer did."""
    at = np.quantile(crossings, share, method="inverted_cdf")
    return float("inf") if at == NEVER else float(at)
