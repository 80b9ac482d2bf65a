from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.batching import join_columns, split_answer, take_batch
from services.gateway.domain.cost_model import CostModel
from services.gateway.domain.elements import join
from services.gateway.domain.failures import ArmFailed
from services.gateway.domain.waiting_line import WaitingLine
from slipway.signature import TensorSpec

OUTPUTS = (TensorSpec("label", "BYTES", (-1,)), TensorSpec("probabilities", "FP32", (-1, 2)))


@dataclass(frozen=True, eq=False)
class Waiter:
    rows: int = 1
    size_bytes: int = 1
    left_s: float = 1e9
    level: int = 2
    queued_s: float = 0.0

    @property
    def deadline_s(self) -> float:
        return self.left_s


def second_a_row(call_s: float = 0.0) -> CostModel:
    """Knows exactly what calls cost."""
    costs = CostModel()
    for _ in range(20):
        for rows in (1, 2, 4, 8, 16, 32, 64):
            costs.observe(rows, rows + call_s)
    return costs


def take(
    waiters: list[Waiter], costs: CostModel, *, max_rows: int = 1000, max_bytes: int = 10**6
) -> tuple[list[Waiter], list[Waiter], list[Waiter]]:
    """The batch, the late, and who still waits."""
    line: WaitingLine[Waiter] = WaitingLine()
    for waiter in waiters:
        line.add(waiter)
    batch, late = take_batch(line, costs, now_s=0.0, timeout_s=1.0, max_rows=max_rows, max_bytes=max_bytes)
    return batch, late, list(line.in_order(1.0))


@given(
    st.lists(st.builds(Waiter, rows=st.integers(1, 300), size_bytes=st.integers(0, 1000))),
    st.integers(1, 300),
    st.integers(1, 5000),
)
def test_takes_as_many_as_fit_and_at_least_the_first(
    waiters: list[Waiter], max_rows: int, max_bytes: int
) -> None:
    batch, late, left = take(waiters, CostModel(), max_rows=max_rows, max_bytes=max_bytes)
    assert batch + left == waiters
    assert late == []
    assert len(batch) >= min(1, len(waiters))

    def fits(some: list[Waiter]) -> bool:
        return sum(w.rows for w in some) <= max_rows and sum(w.size_bytes for w in some) <= max_bytes

    assert len(batch) <= 1 or fits(batch)
    assert not left or not fits([*batch, left[0]])


@given(st.lists(st.builds(Waiter, rows=st.integers(1, 9), left_s=st.floats(-5, 200)), max_size=60))
def test_all_of_a_batch_are_expected_in_time_and_none_is_lost(waiters: list[Waiter]) -> None:
    costs = second_a_row()
    batch, late, left = take(waiters, costs)
    assert sorted(map(id, [*batch, *late, *left])) == sorted(map(id, waiters))
    if len(batch) > 1:
        assert costs.cautious_seconds(sum(w.rows for w in batch)) <= min(w.left_s for w in batch)
    assert all(w.left_s > 0 and costs.seconds(w.rows) <= w.left_s for w in batch)
    hopeless = [w for w in late if costs.seconds(w.rows) > w.left_s or w.left_s <= 0]
    assert sum(w.rows for w in late if w not in hopeless) <= sum(w.rows for w in batch)


def test_who_would_be_late_even_alone_is_not_sent() -> None:
    alone, patient = Waiter(rows=5, left_s=4.0), Waiter(rows=5, left_s=6.0)
    assert take([alone, patient], second_a_row()) == ([patient], [alone], [])


def test_a_few_with_hardly_any_time_do_not_keep_the_call_small_for_everybody() -> None:
    hasty, patient = [Waiter(left_s=10.9) for _ in range(2)], [Waiter(left_s=60.0) for _ in range(30)]
    costs = second_a_row(call_s=9.0)
    batch, late, left = take([*hasty, *patient], costs)
    assert (late, left) == (hasty, [])
    assert batch == patient


def test_many_with_little_time_are_not_given_up_for_a_few() -> None:
    hasty, patient = [Waiter(left_s=4.0) for _ in range(9)], [Waiter(left_s=60.0)]
    batch, late, left = take([*hasty, *patient], second_a_row())
    assert (batch, late) == (hasty[:3], [])
    assert len(left) == 7


def test_the_look_ahead_is_bounded() -> None:
    waiters = [Waiter() for _ in range(100)]
    batch, _, left = take(waiters, CostModel(), max_rows=3)
    assert (len(batch), len(left)) == (3, 97)


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


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_the_arms_failure(number: float) -> None:
    numbers = np.array([[0.5, 0.5], [0.5, number]], dtype="<f4").tobytes()
    answer = {"label": ("BYTES", join([b"1", b"0"])), "probabilities": ("FP32", numbers)}
    with pytest.raises(ArmFailed, match="NaN or infinity in 'probabilities'"):
        split_answer(OUTPUTS, answer, rows=[1, 1])
