import numpy as np
from numpy.typing import NDArray

from services.query_watch.domain.shares import Share
from services.query_watch.domain.spacing import Spacing
from services.query_watch.domain.watching import (
    BOUNDARY,
    IN_LINE,
    NEW_GROUND,
    NORMALITY_THRESHOLD,
    SPACING,
    UNLIKE,
    Others,
    Question,
    Suspicion,
    Watch,
    judge,
    observe,
)

RADIUS = 1.0


def asked(
    rows: NDArray[np.float64],
    *,
    margin: float | None = 0.9,
    input_score: float | None = None,
    others: Others | None = None,
) -> Watch:
    watch = Watch()
    for row in rows:
        question = Question(point=row.astype(np.float32), answer=0, margin=margin, input_score=input_score)
        watch = observe(watch, question, radius=RADIUS, others=others or Others())
    return watch


def heap(count: int, *, width: float = 0.3, seed: int = 1) -> NDArray[np.float64]:
    """Rows as they occur: each near some other."""
    rng = np.random.default_rng(seed)
    return rng.normal(scale=width, size=(count, 4))


def sweep(count: int) -> NDArray[np.float64]:
    return np.random.default_rng(2).uniform(-10, 10, size=(count, 4))


def suspicion(watch: Watch) -> Suspicion:
    found = judge(watch)
    assert found is not None
    return found


def test_rows_as_they_occur_raise_no_suspicion() -> None:
    watch = asked(heap(300))
    assert judge(watch) is None
    assert (watch.rows, watch.new) == (300, 300)


def test_rows_all_over_the_place_are_new_ground() -> None:
    found = suspicion(asked(sweep(20)))
    assert found.signal == NEW_GROUND
    assert found.statistic > found.threshold
    assert "19 of 19 new rows (100%) lie apart" in found.evidence


def test_searching_the_line_between_two_rows_is_suspicious() -> None:
    ends = heap(40)
    parts = (0.5, 0.25, 0.375, 0.4375)
    rows = [
        one + part * (two - one)
        for one, two in zip(ends[::2], ends[1::2], strict=True)
        for part in (0, 1, *parts)
    ]
    found = suspicion(asked(np.array(rows)))
    assert found.signal == IN_LINE
    assert "lie on a line through the two nearest" in found.evidence


def test_too_few_rows_say_nothing() -> None:
    assert judge(asked(sweep(7))) is None


def test_what_others_do_too_is_tolerated() -> None:
    crowd = Others(asked={NEW_GROUND: 500.0}, found={NEW_GROUND: 450.0})
    assert judge(asked(sweep(40), others=crowd)) is None


def test_questions_where_the_model_hardly_decides_are_suspicious() -> None:
    assert suspicion(asked(heap(40), margin=0.02)).signal == BOUNDARY
    assert judge(asked(heap(40), margin=None)) is None


def test_rows_unlike_training_are_suspicious_where_they_are_unlike_each_other() -> None:
    apart = np.random.default_rng(3).uniform(-2, 2, size=(80, 4))
    assert suspicion(asked(apart, input_score=3.0)).signal == UNLIKE
    assert judge(asked(apart, input_score=0.5)) is None
    assert judge(asked(heap(200, width=0.1), input_score=3.0)) is None  # they drifted together


def test_repeats_and_variations_are_no_evidence() -> None:
    base = np.ones((1, 4))
    varied = np.repeat(base, 50, axis=0)
    varied[:, 2] = np.linspace(-100, 100, 50)
    watch = asked(np.vstack([base, base, varied]), margin=0.0)
    assert (watch.rows, watch.repeats, watch.variations, watch.new) == (52, 1, 50, 1)
    assert judge(watch) is None


def test_distances_that_no_rows_have_are_suspicious() -> None:
    steps = (0.001,) * 150 + (1.0,) * 150
    watch = Watch(rows=300, shares={BOUNDARY: Share()}, spacing=Spacing(recent=steps))
    found = suspicion(watch)
    assert (found.signal, found.threshold) == (SPACING, NORMALITY_THRESHOLD)
    assert found.statistic < found.threshold


def test_distances_are_no_evidence_where_the_scales_have_none() -> None:
    watch = Watch()
    for row in sweep(60):
        question = Question(point=row.astype(np.float32), answer=0, input_score=3.0)
        watch = observe(watch, question, radius=0.0, others=Others())
    assert (watch.shares[NEW_GROUND].asked, watch.shares[UNLIKE].asked) == (0, 0)
    assert judge(watch) is None
