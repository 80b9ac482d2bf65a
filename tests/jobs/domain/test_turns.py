from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.jobs.domain.turns import WEIGHTS, Turns


def serve(waiting: dict[str, int], steps: int) -> list[str]:
    """What is taken when so many wait of each priority."""
    turns, taken = Turns(), []
    for _ in range(steps):
        for priority in turns.order():
            if waiting.get(priority, 0):
                waiting[priority] -= 1
                turns = turns.after(priority)
                taken.append(priority)
                break
    return taken


def test_high_comes_first_and_shares_are_those_of_the_weights() -> None:
    taken = serve(dict.fromkeys(WEIGHTS, 1000), 210)
    assert taken[:3] == ["high", "normal", "low"]
    counts = Counter(taken)
    assert abs(counts["high"] - 160) <= 2
    assert abs(counts["normal"] - 40) <= 2
    assert abs(counts["low"] - 10) <= 2


def test_nobody_starves() -> None:
    taken = serve(dict.fromkeys(WEIGHTS, 1000), 400)
    at = [n for n, priority in enumerate(taken) if priority == "low"]
    assert max(b - a for a, b in pairwise(at)) <= 25


def test_what_is_free_goes_to_who_has_something() -> None:
    assert serve({"low": 3, "normal": 2}, 10).count("low") == 3


def test_who_wanted_nothing_for_long_gets_no_credit_for_it() -> None:
    turns = Turns()
    for _ in range(1000):
        turns = turns.after("low")
    taken = []
    for _ in range(42):
        priority = turns.order()[0]
        taken.append(priority)
        turns = turns.after(priority)
    assert taken.count("high") <= 33
    assert taken.count("low") >= 1


@given(st.lists(st.sampled_from(list(WEIGHTS)), max_size=200))
def test_clocks_stay_small_and_none_is_lost(served: list[str]) -> None:
    turns = Turns()
    for priority in served:
        turns = turns.after(priority)
    assert sorted(turns.order()) == sorted(WEIGHTS)
    assert min(turns.high, turns.normal, turns.low) == 0
    assert max(turns.high, turns.normal, turns.low) <= 1.0625
