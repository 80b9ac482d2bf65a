import math

import numpy as np
import pytest

from services.query_watch.domain.shares import Share, ask, tolerated_share


def after(found: list[bool], *, tolerated: float = 0.2) -> Share:
    share = Share()
    for is_found in found:
        share = ask(share, is_found=is_found, tolerated=tolerated)
    return share


def test_nothing_asked_is_no_evidence() -> None:
    assert (Share().statistic, Share().rate) == (0.0, 0.0)


def test_one_question_weighs_as_its_likelihood_ratio() -> None:
    parts = np.array([0.1, 0.25, 0.5, 0.75, 0.9, 0.98])
    expected = math.log(((0.2 + parts * 0.8) / 0.2).mean())
    assert after([True]).statistic == pytest.approx(expected)
    expected = math.log(((1 - (0.2 + parts * 0.8)) / 0.8).mean())
    assert after([False]).statistic == pytest.approx(expected)


def test_a_tolerated_share_gives_no_alarm_and_twice_as_much_gives_one() -> None:
    rng = np.random.default_rng(1)
    assert after(list(rng.random(5000) < 0.1)).statistic < 8
    share = after(list(rng.random(400) < 0.5))
    assert share.statistic > 11.5
    assert share.rate == pytest.approx(0.5, abs=0.1)


def test_a_thief_is_seen_after_a_long_honest_time_as_after_none() -> None:
    rng = np.random.default_rng(2)
    honest = list(rng.random(3000) < 0.05)
    assert after([*honest, *[True] * 12]).statistic > 11.5


def test_false_alarms_come_as_rarely_as_the_statistic_promises() -> None:
    """At the tolerated share itself, exp(3) questions on average at least until the statistic passes 3."""
    rng = np.random.default_rng(3)
    lengths = []
    for _ in range(200):
        share, asked = Share(), 0
        while share.statistic <= 3 and asked < 400:
            share, asked = ask(share, is_found=bool(rng.random() < 0.2), tolerated=0.2), asked + 1
        lengths.append(asked)
    assert np.mean(lengths) >= math.exp(3)


def test_what_all_callers_do_is_tolerated_of_one() -> None:
    def tolerated(asked: float, found: float) -> float:
        return tolerated_share(0.2, asked_by_others=asked, found_by_others=found, fewest=100)

    assert tolerated(1000, 300) == pytest.approx(0.6)
    assert tolerated(1000, 10) == 0.2
    assert tolerated(99, 99) == 0.2
    assert tolerated(1000, 900) == 0.9
