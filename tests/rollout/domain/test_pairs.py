from collections.abc import Callable
from itertools import product
from math import exp, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.rollout.domain.pairs import (
    NO_PAIRS,
    SHARES,
    Pairs,
    log_e_no_worse,
    log_e_worse,
    merge,
    observe,
)
from slipway.errors import InvalidInput

counts = st.builds(Pairs, wins=st.integers(0, 40), ties=st.integers(0, 40), losses=st.integers(0, 40))
_ONE = (Pairs(losses=1), Pairs(ties=1), Pairs(wins=1))


def _expectation(e_value: Callable[[Pairs], float], chances: list[tuple[float, float, float]]) -> float:
    """Over all courses of a stream whose n-th pair is a loss, tie or win with the n-th chances."""
    total = 0.0
    for course in product(range(3), repeat=len(chances)):
        chance, seen = 1.0, NO_PAIRS
        for outcome, of in zip(course, chances, strict=True):
            chance *= of[outcome]
            seen = merge(seen, _ONE[outcome])
        total += chance * exp(e_value(seen))
    return total


@st.composite
def streams(draw: st.DrawFn, *, at_most: float) -> list[tuple[float, float, float]]:
    """Chances of loss, tie, win; their mean difference drifts, and never exceeds `at_most`."""
    drawn = []
    for _ in range(draw(st.integers(1, 5))):
        difference = draw(st.floats(-1, at_most))
        discordant = draw(st.floats(abs(difference), 1))
        loss, win = (discordant + difference) / 2, (discordant - difference) / 2
        drawn.append((loss, 1 - discordant, win))
    return drawn


def test_counts_who_was_right() -> None:
    pairs = NO_PAIRS
    for champion, candidate in ((True, True), (False, False), (True, False), (False, True), (False, True)):
        pairs = observe(pairs, is_champion_right=champion, is_candidate_right=candidate)
    assert pairs == Pairs(wins=2, ties=2, losses=1)
    assert pairs.labels == 5
    assert pairs.difference == pytest.approx(-0.2)


def test_no_pairs_are_no_evidence_in_any_direction() -> None:
    assert (log_e_worse(NO_PAIRS), log_e_no_worse(NO_PAIRS, margin=0.02), NO_PAIRS.difference) == (0, 0, 0)


@given(counts)
def test_without_a_margin_it_is_the_published_formula(pairs: Pairs) -> None:
    expected = sum((2 * t) ** pairs.losses * (2 * (1 - t)) ** pairs.wins for t in SHARES) / len(SHARES)
    assert log_e_worse(pairs) == pytest.approx(log(expected))


@given(counts)
def test_better_and_worse_mirror_each_other(pairs: Pairs) -> None:
    mirrored = Pairs(wins=pairs.losses, ties=pairs.ties, losses=pairs.wins)
    assert log_e_no_worse(pairs, margin=0) == pytest.approx(log_e_worse(mirrored))


@settings(deadline=None, max_examples=40)
@given(streams(at_most=0.0))
def test_a_candidate_that_is_not_worse_gives_no_evidence_of_harm_on_average(
    chances: list[tuple[float, float, float]],
) -> None:
    assert _expectation(log_e_worse, chances) <= 1 + 1e-9


@settings(deadline=None, max_examples=40)
@given(streams(at_most=0.1))
def test_a_candidate_within_the_margin_gives_no_evidence_beyond_it_on_average(
    chances: list[tuple[float, float, float]],
) -> None:
    assert _expectation(lambda pairs: log_e_worse(pairs, margin=0.1), chances) <= 1 + 1e-9


@settings(deadline=None, max_examples=40)
@given(streams(at_most=-0.05))
def test_a_candidate_that_is_worse_by_the_margin_is_not_proven_on_average(
    chances: list[tuple[float, float, float]],
) -> None:
    mirrored = [(win, tie, loss) for loss, tie, win in chances]
    assert _expectation(lambda pairs: log_e_no_worse(pairs, margin=0.05), mirrored) <= 1 + 1e-9


def test_only_ties_prove_that_it_is_no_worse_and_not_that_it_is_better() -> None:
    pairs = Pairs(ties=2000)
    assert log_e_no_worse(pairs, margin=0.02) > log(20)
    assert log_e_no_worse(pairs, margin=0.0) == 0


def test_a_candidate_that_is_always_wrong_is_found_within_eight_pairs() -> None:
    assert log_e_worse(Pairs(losses=8)) > log(20)


@pytest.mark.parametrize("margin", [-0.1, 1.0, float("nan")])
def test_refuses_a_margin_that_is_no_difference_of_rates(margin: float) -> None:
    with pytest.raises(InvalidInput, match="margin"):
        log_e_worse(NO_PAIRS, margin=margin)
    with pytest.raises(InvalidInput, match="margin"):
        log_e_no_worse(NO_PAIRS, margin=margin)
