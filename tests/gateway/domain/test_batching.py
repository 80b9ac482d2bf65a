import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.batching import count_to_take, join_columns, split_answer
from services.gateway.domain.elements import join
from services.gateway.domain.failures import ArmFailed
from slipway.signature import TensorSpec

OUTPUTS = (TensorSpec("label", "BYTES", (-1,)), TensorSpec("probabilities", "FP32", (-1, 2)))


@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(0, 1000))), st.integers(1, 300), st.integers(1, 5000)
)
def test_takes_as_many_as_fit_and_at_least_the_first(
    sizes: list[tuple[int, int]], max_rows: int, max_bytes: int
) -> None:
    taken = count_to_take(sizes, max_rows=max_rows, max_bytes=max_bytes)
    assert taken >= min(1, len(sizes))

    def fits(count: int) -> bool:
        taken_sizes = sizes[:count]
        size = sum(size for _, size in taken_sizes)
        return sum(rows for rows, _ in taken_sizes) <= max_rows and size <= max_bytes

    assert taken <= 1 or fits(taken)
    assert taken == len(sizes) or not fits(taken + 1)


@given(st.lists(st.lists(st.text(max_size=5), min_size=1, max_size=5), min_size=1, max_size=6))
def test_every_request_gets_its_own_rows_back(requests: list[list[str]]) -> None:
    texts = [[text.encode() for text in request] for request in requests]
    flat = [text for request in texts for text in request]
    numbers = np.arange(2 * len(flat), dtype="<f4").reshape(-1, 2)
    answer = {"label": ("BYTES", join(flat)), "probabilities": ("FP32", numbers.tobytes())}
    parts = split_answer(OUTPUTS, answer, rows=[len(request) for request in requests])
    assert [label for label, _ in parts] == [join(request) for request in texts]
    assert b"".join(probabilities for _, probabilities in parts) == numbers.tobytes()
    assert join_columns(parts) == (join(flat), numbers.tobytes())


def test_one_request_is_passed_on_as_it_is() -> None:
    columns = (b"a", b"b")
    assert join_columns([columns]) is columns


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({}, "did not answer 'label'"),
        ({"label": ("INT64", b"")}, "'label' as INT64, not BYTES"),
        ({"label": ("BYTES", join([b"1"]))}, "'label' for 2 rows"),
        (
            {"label": ("BYTES", join([b"1", b"0"])), "probabilities": ("FP32", b"\0" * 12)},
            "12 bytes of 'probabilities' for 2 rows",
        ),
    ],
)
def test_an_answer_against_the_signature_is_the_arms_failure(
    answer: dict[str, tuple[str, bytes]], why: str
) -> None:
    with pytest.raises(ArmFailed, match=why):
        split_answer(OUTPUTS, answer, rows=[1, 1])
