"""Who asks a model: honest callers, and some that want a copy of it. Each is a stream of rows with a seed."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

import numpy as np
from extraction_data import Data, Rows
from sklearn.linear_model import LogisticRegression

Client = Callable[[Data, np.random.Generator], Iterator[Rows]]
_SEARCH_STEPS: Final = 6
_SEEDS_PER_CLASS: Final = 10
_STEP: Final = 0.1  # of a feature's range, as Papernot et al.


def taken(client: Client, data: Data, *, seed: int, most: int) -> Rows:
    """The first rows that a client asks."""
    return np.array(list(islice(client(data, np.random.default_rng(seed)), most)))


def shuffled(data: Data, rng: np.random.Generator) -> Iterator[Rows]:
    """Real rows in any order."""
    yield from rng.permutation(data.test)


def in_order(data: Data, rng: np.random.Generator) -> Iterator[Rows]:
    """Real rows from some moment on, one after the other."""
    yield from np.roll(data.test, -int(rng.integers(len(data.test))), axis=0)


def repeating(data: Data, rng: np.random.Generator) -> Iterator[Rows]:
    """A few dozen real rows, again and again."""
    few = rng.permutation(data.test)[:40]
    while True:
        yield few[rng.integers(len(few))]


def correcting(data: Data, rng: np.random.Generator) -> Iterator[Rows]:
    """Real rows, each asked again some times with one feature changed to that of another row."""
    for row in rng.permutation(data.test):
        yield row
        for _ in range(int(rng.integers(4))):
            other = row.copy()
            feature = int(rng.integers(len(row)))
            other[feature] = data.test[rng.integers(len(data.test)), feature]
            yield other


def what_if(data: Data, rng: np.random.Generator) -> Iterator[Rows]:
    """One row, of which one feature after the other is moved through its range."""
    base = data.test[rng.integers(len(data.test))]
    yield base
    while True:
        feature = int(rng.integers(len(base)))
        for part in np.linspace(0, 1, 9):
            varied = base.copy()
            varied[feature] = data.low[feature] + part * data.span[feature]
            yield varied


HONEST: Final[dict[str, Client]] = {
    "real rows, shuffled": shuffled,
    "real rows, in order": in_order,
    "forty rows, repeated": repeating,
    "real rows, each with corrections": correcting,
    "what if, one row varied": what_if,
}


def uniform(data: Data, rng: np.random.Generator) -> Iterator[Rows]:
    """Anything within the ranges: Tramer et al., Stealing machine learning models, USENIX Security 2016."""
    while True:
        yield data.low + rng.random(len(data.low)) * data.span


def by_feature(data: Data, rng: np.random.Generator) -> Iterator[Rows]:
    """Each feature as it occurs, without regard to the others: who knows the columns and no row."""
    columns = np.arange(data.train.shape[1])
    while True:
        yield data.train[rng.integers(len(data.train), size=len(columns)), columns]


def real_boundary(data: Data, rng: np.random.Generator) -> Iterator[Rows]:
    """Line searches between real rows of different answers: Lowd, Meek, Adversarial learning, KDD 2005."""
    yield from _searches(data, rng.permutation(data.own)[:60], rng)


def made_boundary(data: Data, rng: np.random.Generator) -> Iterator[Rows]:
    """The same between rows drawn within the ranges."""
    yield from _searches(data, data.low + rng.random((60, len(data.low))) * data.span, rng)


def _searches(data: Data, ends: Rows, rng: np.random.Generator) -> Iterator[Rows]:
    answers, asked = data.predict(ends), set[int]()
    while True:
        pair = [int(at) for at in rng.integers(len(ends), size=2)]
        for at in pair:
            if at not in asked:
                asked.add(at)
                yield ends[at]
        here, there = ends[pair]
        if answers[pair[0]] == answers[pair[1]]:
            continue
        for _ in range(_SEARCH_STEPS):
            middle = (here + there) / 2
            yield middle
            if data.predict(middle[None])[0] == answers[pair[0]]:
                here = middle
            else:
                there = middle


def real_jacobian(data: Data, rng: np.random.Generator) -> Iterator[Rows]:
    """Real seeds, then steps along the clone's gradient: Papernot et al., Practical black-box, 2017."""
    yield from _augmented(data, _seeds(data, rng), rng, kept=1.0)


def uneven_jacobian(data: Data, rng: np.random.Generator) -> Iterator[Rows]:
    """The same, each step without a fifth of the features: who knows that equal steps are looked for."""
    yield from _augmented(data, _seeds(data, rng), rng, kept=0.8)


def made_jacobian(data: Data, rng: np.random.Generator) -> Iterator[Rows]:
    """The same from seeds drawn within the ranges."""
    seeds = data.low + rng.random((2 * _SEEDS_PER_CLASS, len(data.low))) * data.span
    yield from _augmented(data, seeds, rng, kept=1.0)


def _seeds(data: Data, rng: np.random.Generator) -> Rows:
    order = rng.permutation(len(data.own))
    labels = data.own_labels[order]
    chosen = [order[labels == label][:_SEEDS_PER_CLASS] for label in np.unique(labels)]
    return np.asarray(data.own[rng.permutation(np.concatenate(chosen))])


def _augmented(data: Data, seeds: Rows, rng: np.random.Generator, *, kept: float) -> Iterator[Rows]:
    pool = (seeds - data.low) / data.span
    fresh = pool
    while True:
        yield from data.low + fresh * data.span
        answers = data.predict(data.low + pool * data.span)
        if len(np.unique(answers)) < 2:
            steps = rng.choice([-1.0, 1.0], size=pool.shape)
        else:
            clone = LogisticRegression(max_iter=200).fit(pool, answers)
            weights = clone.coef_ if len(clone.coef_) > 1 else np.vstack([-clone.coef_, clone.coef_])
            steps = np.sign(weights[np.searchsorted(clone.classes_, clone.predict(pool))])
        fresh = (pool + _STEP * steps * (rng.random(pool.shape) < kept)).clip(0, 1)
        pool = np.vstack([pool, fresh])


def mixing(data: Data, rng: np.random.Generator) -> Iterator[Rows]:
    """Points between pairs of real rows: Zhang et al., mixup, ICLR 2018, as a source of questions."""
    real = rng.permutation(data.own)[:60]
    while True:
        one, two = rng.integers(len(real), size=2)
        part = rng.random()
        yield part * real[one] + (1 - part) * real[two]


def real_rows(data: Data, rng: np.random.Generator) -> Iterator[Rows]:
    """Rows of the same kind as the model is for: nothing tells this thief from an honest caller."""
    yield from rng.permutation(data.own)


MADE: Final[dict[str, Client]] = {
    "uniform": uniform,
    "feature by feature": by_feature,
    "boundary search, made ends": made_boundary,
    "Jacobian steps, made seeds": made_jacobian,
}
HALF_REAL: Final[dict[str, Client]] = {
    "boundary search, real ends": real_boundary,
    "Jacobian steps, real seeds": real_jacobian,
    "uneven Jacobian steps, real seeds": uneven_jacobian,
    "mixing real rows": mixing,
}
REAL: Final[dict[str, Client]] = {"real rows alone": real_rows}
