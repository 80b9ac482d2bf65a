from hypothesis import given
from hypothesis import strategies as st

from services.retraining.domain.windows import Plan, WindowPolicy, plan


def lay_out(rows: int, *, drift_start: int | None = None, **rules: object) -> Plan:
    values: dict[str, object] = {
        "names": ("all", "since_drift", "sliding"),
        "sliding_rows": 400,
        "holdout_rows": 100,
        "horizon_rows": 48,
        "min_rows": 200,
    }
    return plan(WindowPolicy(**{**values, **rules}), rows=rows, drift_start=drift_start)  # type: ignore[arg-type]


def names(it: Plan) -> list[str]:
    return [w.name for w in it.windows]


def reasons(it: Plan) -> dict[str, str]:
    return {s.name: s.reason for s in it.skipped}


@given(
    rows=st.integers(0, 3000),
    holdout=st.integers(1, 800),
    horizon=st.integers(0, 200),
    min_rows=st.integers(1, 500),
    sliding=st.integers(1, 2000),
    drift=st.none() | st.integers(0, 3000),
)
def test_no_row_whose_label_came_after_the_first_held_out_row_trains(
    rows: int, holdout: int, horizon: int, min_rows: int, sliding: int, drift: int | None
) -> None:
    it = lay_out(
        rows,
        drift_start=None if drift is None else min(drift, max(0, rows - 1)),
        names=("all", "since_drift", "sliding", "sliding:77"),
        holdout_rows=holdout,
        horizon_rows=horizon,
        min_rows=min_rows,
        sliding_rows=sliding,
    )
    for window in it.windows:
        newest = window.end - 1
        assert newest < it.holdout_start - horizon
        assert 0 <= window.start < window.end
        assert window.end - window.start >= min_rows
        assert it.rows - it.holdout_start == holdout
        assert 0 <= window.refit_start < window.refit_end == rows
    assert len(it.windows) + len(it.skipped) == 4
    assert len({w.start for w in it.windows}) == len(it.windows)


def test_windows_of_a_long_stream() -> None:
    it = lay_out(1000, drift_start=600)
    assert (it.fit_end, it.holdout_start) == (852, 900)
    assert [(w.name, w.start, w.end, w.refit_start) for w in it.windows] == [
        ("all", 0, 852, 0),
        ("since_drift", 600, 852, 600),
        ("sliding", 452, 852, 600),
    ]


def test_a_drift_that_is_too_young_is_skipped_with_its_length() -> None:
    it = lay_out(1000, drift_start=950)
    assert names(it) == ["all", "sliding"]
    assert reasons(it) == {"since_drift": "0 rows before the hold-out, min_rows is 200"}


def test_without_a_drift_there_is_no_window_since_it() -> None:
    assert reasons(lay_out(1000)) == {"since_drift": "no drift was reported"}


def test_a_window_of_the_same_rows_is_tried_once() -> None:
    it = lay_out(500, names=("all", "sliding"))
    assert reasons(it) == {"sliding": "the same rows as window all"}


def test_a_sliding_window_may_name_its_length() -> None:
    it = lay_out(1000, names=("sliding:300", "sliding:0", "sliding:x", "weekly"))
    assert [(w.name, w.start, w.refit_start) for w in it.windows] == [("sliding:300", 552, 700)]
    assert set(reasons(it)) == {"sliding:0", "sliding:x", "weekly"}


def test_with_no_rows_nothing_can_be_trained() -> None:
    assert lay_out(0, names=("all",)).windows == ()
