from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.token_bucket import TokenBucket, share_of_rate


def test_fills_with_time_up_to_its_burst() -> None:
    bucket = TokenBucket(per_s=2, burst=4, level=4, at_s=0)
    assert bucket.take(4, now_s=0)
    assert not bucket.take(1, now_s=0.25)
    assert bucket.wait_s(1, now_s=0.25) == 0.25
    assert bucket.take(1, now_s=0.5)
    assert bucket.wait_s(4, now_s=100) == 0
    assert bucket.level == 4


def test_what_is_given_back_does_not_overflow() -> None:
    bucket = TokenBucket(per_s=1, burst=4, level=4, at_s=0)
    bucket.give(3)
    assert bucket.level == 4
    bucket.give(-2)
    assert bucket.level == 2


def test_time_that_steps_back_brings_nothing() -> None:
    bucket = TokenBucket(per_s=1, burst=4, level=0, at_s=10)
    assert not bucket.take(1, now_s=5)


def test_a_share_holds_a_whole_token_however_many_gateways_there_are() -> None:
    bucket = share_of_rate(10, 2, gateways=5, now_s=0)
    assert (bucket.per_s, bucket.burst) == (2, 1)


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(1, 5)), max_size=100))
def test_never_more_than_the_burst_and_what_came_since(steps: list[tuple[float, int]]) -> None:
    bucket, now_s, taken = TokenBucket(per_s=3, burst=5, level=5, at_s=0), 0.0, 0
    for wait_s, amount in steps:
        now_s += wait_s
        if bucket.take(amount, now_s=now_s):
            taken += amount
        assert taken <= 5 + 3 * now_s + 1e-6
