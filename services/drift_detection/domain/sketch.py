"""What is remembered of a run of records: counts that can be added and subtracted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

Counts = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSketch:
    """How often each reference bin of one feature occurred; `counts` ends at the last bin seen."""

    counts: Counts = ()
    outside: int = 0
    missing: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """Counts over some rows and labels of one version, and the time they span (0 = no record)."""

    rows: int = 0
    features: Mapping[str, FeatureSketch] = field(default_factory=dict)
    predicted: Counts = ()
    labels: int = 0
    errors: int = 0
    label_counts: Counts = ()
    scored: int = 0  # rows with an input score
    unusual: int = 0  # of these above 1
    first_at_s: float = 0.0
    last_at_s: float = 0.0


EMPTY = Sketch()
_NOTHING = FeatureSketch()


def merge(one: Sketch, other: Sketch) -> Sketch:
    """The sketch of both runs together: commutative, associative, EMPTY is neutral."""
    starts = [s.first_at_s for s in (one, other) if s.first_at_s]
    return _combined(
        one,
        other,
        lambda a, b: a + b,
        span=(min(starts, default=0.0), max(one.last_at_s, other.last_at_s)),
    )


def merge_all(sketches: Sequence[Sketch]) -> Sketch:
    """The sketch of all runs together: as `merge` one by one, at a fraction of its cost."""
    if len(sketches) == 1:
        return sketches[0]
    features: dict[str, list[FeatureSketch]] = {}
    for sketch in sketches:
        for name, feature in sketch.features.items():
            features.setdefault(name, []).append(feature)
    return Sketch(
        rows=sum(s.rows for s in sketches),
        features={name: _sum_of(features[name]) for name in sorted(features)},
        predicted=_sums([s.predicted for s in sketches]),
        labels=sum(s.labels for s in sketches),
        errors=sum(s.errors for s in sketches),
        label_counts=_sums([s.label_counts for s in sketches]),
        scored=sum(s.scored for s in sketches),
        unusual=sum(s.unusual for s in sketches),
        first_at_s=min((s.first_at_s for s in sketches if s.first_at_s), default=0.0),
        last_at_s=max((s.last_at_s for s in sketches), default=0.0),
    )


def _sum_of(features: Sequence[FeatureSketch]) -> FeatureSketch:
    return FeatureSketch(
        counts=_sums([f.counts for f in features]),
        outside=sum([f.outside for f in features]),
        missing=sum([f.missing for f in features]),
    )


def _sums(counts: Sequence[Counts]) -> Counts:
    return tuple(map(sum, zip_longest(*counts, fillvalue=0)))


def subtract(whole: Sketch, part: Sketch) -> Sketch:
    """What came after `part`, which is the beginning of `whole`."""
    start = part.last_at_s or whole.first_at_s
    return _combined(whole, part, lambda a, b: a - b, span=(start, whole.last_at_s))


def _combined(
    one: Sketch, other: Sketch, operator: Callable[[int, int], int], *, span: tuple[float, float]
) -> Sketch:
    def each(a: Counts, b: Counts) -> Counts:
        return tuple(operator(x, y) for x, y in zip_longest(a, b, fillvalue=0))

    def feature(a: FeatureSketch, b: FeatureSketch) -> FeatureSketch:
        return FeatureSketch(
            counts=each(a.counts, b.counts),
            outside=operator(a.outside, b.outside),
            missing=operator(a.missing, b.missing),
        )

    return Sketch(
        rows=operator(one.rows, other.rows),
        features={
            name: feature(one.features.get(name, _NOTHING), other.features.get(name, _NOTHING))
            for name in sorted({*one.features, *other.features})
        },
        predicted=each(one.predicted, other.predicted),
        labels=operator(one.labels, other.labels),
        errors=operator(one.errors, other.errors),
        label_counts=each(one.label_counts, other.label_counts),
        scored=operator(one.scored, other.scored),
        unusual=operator(one.unusual, other.unusual),
        first_at_s=span[0],
        last_at_s=span[1],
    )
