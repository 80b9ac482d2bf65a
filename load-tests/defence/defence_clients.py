"""Who asks a model: honest callers, and some that want a copy of it. Each is a stream of rows with a seed."""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from defence_data import Data, Labels, Rows
from defence_models import Served
from sklearn.linear_model import LogisticRegression

Client = Callable[[Data, Served, int], Iterator[Rows]]
_SEARCH_STEPS: Final = 6
_SEEDS_PER_CLASS: Final = 10
_STEP: Final = 0.1  # of a feature's range


def in_order(data: Data, _: Served, __: int) -> Iterator[Rows]:
    """Real rows that the model has not seen, one after the other."""
    yield from data.test[:, None]


def shuffled(data: Data, _: Served, seed: int) -> Iterator[Rows]:
    """Real rows in any order."""
    yield from np.random.default_rng(seed).permutation(data.test)[:, None]


def repeating(data: Data, _: Served, seed: int) -> Iterator[Rows]:
    """A few dozen real rows, again and again."""
    rng = np.random.default_rng(seed)
    few = rng.permutation(data.test)[:40]
    while True:
        yield few[rng.integers(len(few))][None]


def batches(data: Data, _: Served, seed: int) -> Iterator[Rows]:
    """Everything there is, 50 rows at a time, every night anew."""
    rng = np.random.default_rng(seed)
    everything = np.vstack([data.test, data.calibration])
    while True:
        for start in range(0, len(everything), 50):
            yield rng.permutation(everything)[start : start + 50]


def what_if(data: Data, _: Served, seed: int) -> Iterator[Rows]:
    """One row, of which one feature after the other is moved through its range."""
    rng = np.random.default_rng(seed)
    base = data.test[rng.integers(len(data.test))]
    yield base[None]
    while True:
        feature = int(rng.integers(len(base)))
        for value in np.linspace(data.low[feature], data.high[feature], 9):
            varied = base.copy()
            varied[feature] = value
            yield varied[None]


HONEST: Final[dict[str, Client]] = {
    "real rows in order": in_order,
    "real rows, shuffled": shuffled,
    "forty rows, repeated": repeating,
    "batch scorer": batches,
    "what if, one row varied": what_if,
}


def uniform(data: Data, _: Served, seed: int) -> Iterator[Rows]:
    """Anything within the ranges: Tramer et al., Stealing machine learning models, USENIX Security 2016."""
    rng = np.random.default_rng(seed)
    while True:
        yield (data.low + rng.random(len(data.low)) * (data.high - data.low))[None]


def by_feature(data: Data, _: Served, seed: int) -> Iterator[Rows]:
    """Each feature as it occurs, without regard to the others: who knows the columns and no row."""
    rng = np.random.default_rng(seed)
    columns = np.arange(data.train.shape[1])
    while True:
        yield data.train[rng.integers(len(data.train), size=len(columns)), columns][None]


def boundary(data: Data, served: Served, seed: int) -> Iterator[Rows]:
    """Line searches between rows of different answers: Lowd, Meek, Adversarial learning, KDD 2005."""
    rng = np.random.default_rng(seed)
    real = rng.permutation(data.calibration)[:60]
    answers = served.predict(real)
    while True:
        one, two = rng.integers(len(real), size=2)
        if answers[one] == answers[two]:
            continue
        here, there = real[one], real[two]
        for _ in range(_SEARCH_STEPS):
            middle = (here + there) / 2
            yield middle[None]
            if served.predict(middle[None])[0] == answers[one]:
                here = middle
            else:
                there = middle


def jacobian(data: Data, served: Served, seed: int) -> Iterator[Rows]:
    """Real seeds, then steps along the clone's own gradient: Papernot et al., black-box attacks, 2017."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(data.calibration))
    labels = data.calibration_labels[order]
    seeds = np.concatenate([order[labels == c][:_SEEDS_PER_CLASS] for c in range(data.classes)])
    pool = served.to_unit(data.calibration[seeds])
    fresh = pool
    while True:
        for row in served.from_unit(fresh):
            yield row[None]
        answers = served.predict(served.from_unit(pool))
        chosen = pool[rng.permutation(len(pool))[: 10 * _SEEDS_PER_CLASS]]
        fresh = chosen + _STEP * _climb(pool, answers, chosen, rng)
        fresh = fresh.clip(0, 1)
        pool = np.vstack([pool, fresh])


def _climb(pool: Rows, answers: Labels, chosen: Rows, rng: np.random.Generator) -> Rows:
    """The sign of the gradient of a linear clone's answer."""
    if len(np.unique(answers)) < 2:
        return np.asarray(rng.choice([-1.0, 1.0], size=chosen.shape))
    clone = LogisticRegression(max_iter=200).fit(pool, answers)
    weights = clone.coef_ if len(clone.coef_) > 1 else np.vstack([-clone.coef_, clone.coef_])
    at = np.searchsorted(clone.classes_, clone.predict(chosen))
    return np.asarray(-np.sign(weights[at]) * rng.choice([0.0, 1.0], size=chosen.shape, p=[0.2, 0.8]))


def mixing(data: Data, _: Served, seed: int) -> Iterator[Rows]:
    """Points between pairs of real rows: Zhang et al., mixup, ICLR 2018, as a source of questions."""
    rng = np.random.default_rng(seed)
    real = rng.permutation(data.calibration)[:60]
    while True:
        one, two = rng.integers(len(real), size=2)
        part = rng.random()
        yield (part * real[one] + (1 - part) * real[two])[None]


def knockoff(data: Data, _: Served, seed: int) -> Iterator[Rows]:
    """Rows of another data set: Orekondy, Schiele, Fritz, Knockoff nets, CVPR 2019; Copycat asks alike."""
    yield from np.random.default_rng(seed).permutation(data.other)[:, None]


def real_rows(data: Data, _: Served, seed: int) -> Iterator[Rows]:
    """Rows of the same kind as the model is for: nothing tells this thief from an honest caller."""
    yield from np.random.default_rng(seed).permutation(data.calibration)[:, None]


THIEVES: Final[dict[str, Client]] = {
    "uniform": uniform,
    "feature by feature": by_feature,
    "boundary search": boundary,
    "Jacobian steps": jacobian,
    "mixing real rows": mixing,
    "another data set": knockoff,
    "real rows alone": real_rows,
}
