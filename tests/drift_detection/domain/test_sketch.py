from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from services.drift_detection.domain.sketch import EMPTY, FeatureSketch, Sketch, merge, merge_all, subtract

counts = st.lists(st.integers(0, 50), max_size=5).map(tuple)
feature_sketches = st.builds(
    FeatureSketch, counts=counts, outside=st.integers(0, 9), missing=st.integers(0, 9)
)
sketches = st.builds(
    Sketch,
    rows=st.integers(0, 99),
    features=st.dictionaries(st.sampled_from("abc"), feature_sketches),
    predicted=counts,
    labels=st.integers(0, 99),
    errors=st.integers(0, 99),
    label_counts=counts,
    first_at_s=st.floats(1, 10),
    last_at_s=st.floats(10, 20),
)


def plain(sketch: Sketch) -> object:
    """Without trailing zeros, which mean nothing."""

    def trimmed(values: tuple[int, ...]) -> tuple[int, ...]:
        filled = [i for i, value in enumerate(values) if value]
        return values[: filled[-1] + 1] if filled else ()

    features = {
        name: (trimmed(f.counts), f.outside, f.missing)
        for name, f in sketch.features.items()
        if any(f.counts) or f.outside or f.missing
    }
    return (
        sketch.rows,
        features,
        trimmed(sketch.predicted),
        sketch.labels,
        sketch.errors,
        trimmed(sketch.label_counts),
    )


@given(sketches, sketches, sketches)
def test_merging_is_commutative_and_associative(a: Sketch, b: Sketch, c: Sketch) -> None:
    assert merge(a, b) == merge(b, a)
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


@given(st.lists(sketches, min_size=1, max_size=5))
def test_merging_all_at_once_is_merging_one_by_one(some: list[Sketch]) -> None:
    assert merge_all(some) == reduce(merge, some)


@given(sketches)
def test_the_empty_sketch_is_neutral(a: Sketch) -> None:
    merged = merge(EMPTY, a)
    assert plain(merged) == plain(a)
    assert (merged.first_at_s, merged.last_at_s) == (a.first_at_s, a.last_at_s)


@given(sketches, sketches)
def test_subtracting_the_beginning_leaves_the_rest(beginning: Sketch, rest: Sketch) -> None:
    whole = merge(beginning, rest)
    left = subtract(whole, beginning)
    assert plain(left) == plain(rest)
    assert (left.first_at_s, left.last_at_s) == (beginning.last_at_s, whole.last_at_s)


def test_subtracting_nothing_keeps_the_start() -> None:
    whole = Sketch(rows=2, first_at_s=5.0, last_at_s=7.0)
    assert subtract(whole, EMPTY) == whole
