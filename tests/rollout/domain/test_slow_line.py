import pytest

from services.rollout.domain.slow_line import EVERY, NO_LINE, is_slow, observe


def test_there_is_no_line_before_the_champion_was_seen_often_enough() -> None:
    slow = NO_LINE
    for _ in range(EVERY - 1):
        slow = observe(slow, 0.1)
    assert is_slow(slow, 9.0, quantile=0.99) is None
    assert is_slow(observe(slow, 0.1), 9.0, quantile=0.99) is True


def test_the_line_is_the_champions_quantile() -> None:
    slow = NO_LINE
    for at in range(4 * EVERY):
        slow = observe(slow, 0.1 if at % 10 else 1.0)
    assert slow.fresh == ()
    assert slow.line.count == 4 * EVERY
    cases = [(0.2, 0.5), (0.2, 0.9), (0.2, 0.99), (2.0, 0.99)]
    assert [is_slow(slow, s, quantile=q) for s, q in cases] == [True, True, False, True]


def test_between_two_lines_the_older_one_holds() -> None:
    slow = NO_LINE
    for _ in range(EVERY):
        slow = observe(slow, 0.1)
    later = observe(slow, 5.0)
    assert later.cuts_s == slow.cuts_s
    assert later.fresh == pytest.approx((5.0,))
