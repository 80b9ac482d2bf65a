from hypothesis import given
from hypothesis import strategies as st
from river.drift import PageHinkley as RiversPageHinkley

from services.drift_detection.domain.page_hinkley import PageHinkley


@given(
    st.lists(st.floats(0, 1), max_size=80),
    st.floats(0, 0.1),
    st.floats(0.05, 2),
    st.integers(2, 12),
)
def test_reports_where_rivers_does(
    values: list[float], delta: float, threshold: float, min_values: int
) -> None:
    ours = PageHinkley(delta=delta, threshold=threshold, min_values=min_values)
    rivers = RiversPageHinkley(
        delta=delta, threshold=threshold, min_instances=min_values, alpha=1.0, mode="up"
    )
    for value in values:
        rivers.update(value)  # type: ignore[no-untyped-call]
        assert ours.update(value) == rivers.drift_detected
