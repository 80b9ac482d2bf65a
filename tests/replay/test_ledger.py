import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.replay.ledger import Ledger, rolling_share


def ledger_of(rows: int, *, delay: int, warmup: int = 5) -> Ledger:
    return Ledger(
        truth=[str(i % 2) for i in range(rows)],
        frozen=["0"] * rows,
        warmup_truth=[f"w{i}" for i in range(warmup)],
        delay=delay,
    )


@given(st.integers(0, 60), st.lists(st.integers(1, 30), max_size=20))
def test_no_label_leaves_before_delay_rows_have_passed(delay: int, chunks: list[int]) -> None:
    ledger = ledger_of(sum(chunks), delay=delay)
    released: list[int] = []
    for chunk in chunks:
        ledger.sent += chunk
        fresh = ledger.release()
        assert all(row + delay < ledger.sent for row in fresh)
        released += fresh
    released += ledger.release_rest()
    assert released == list(range(ledger.sent))


def test_last_label_is_as_old_as_the_delay() -> None:
    ledger = ledger_of(6, delay=2, warmup=3)
    assert ledger.last_label() == ["w1", "w2", "0", "1", "0", "1"]


def test_last_label_is_unknown_before_the_first_label() -> None:
    assert ledger_of(4, delay=7, warmup=5).last_label() == ["", "", "w0", "w1"]


def test_hits_count_only_rows_that_were_sent() -> None:
    ledger = ledger_of(10, delay=1)
    ledger.sent = 4
    ledger.answered(1, label="1", version="1", prediction_id="p", latency_s=0.1)
    assert ledger.hits(ledger.predicted).tolist() == [False, True, False, False]


def test_failed_row_counts_as_wrong_and_is_named() -> None:
    ledger = ledger_of(2, delay=1)
    ledger.failed(1, "gateway: too busy")
    ledger.sent = 2
    assert ledger.failures == ["row 1: gateway: too busy"]
    assert not ledger.hits(ledger.predicted)[1]


@pytest.mark.parametrize("window", [1, 3, 100])
def test_rolling_share_equals_the_mean_of_each_window(window: int) -> None:
    hits = np.array([1, 0, 0, 1, 1, 1, 0], dtype=bool)
    expected = [hits[max(0, i + 1 - window) : i + 1].mean() for i in range(len(hits))]
    assert rolling_share(hits, window=window) == pytest.approx(expected)
