from math import exp, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.rollout.domain.effect import NO_EFFECT, Bounds, Effect, Value, observe
from slipway.errors import InvalidInput

Moment = tuple[float, float, float]  # share, the champion's rate, the canary's rate


def _expectation(effect: Effect, moments: list[Moment], *, margin: float) -> tuple[float, float]:
    """Of both e-values, over everything that can happen."""
    if not moments:
        return exp(effect.harm.log_e_value), exp(effect.proof.log_e_value)
    (share, champion, canary), rest = moments[0], moments[1:]
    harm = proof = 0.0
    for is_canary, assigned, rate in ((True, share, canary), (False, 1 - share, champion)):
        for number, chance in ((1.0, rate), (0.0, 1 - rate)):
            value = Value(number=number, is_canary=is_canary, share=share)
            after = observe(effect, value, bounds=Bounds(margin=margin))
            later = _expectation(after, rest, margin=margin)
            harm += assigned * chance * later[0]
            proof += assigned * chance * later[1]
    return harm, proof


@st.composite
def days(draw: st.DrawFn, *, difference: float) -> list[Moment]:
    """Shares and base rates that change as they like; the canary's rate is `difference` above."""
    drawn = []
    for _ in range(draw(st.integers(1, 4))):
        champion = draw(st.floats(max(0.0, -difference), 1 - max(0.0, difference)))
        drawn.append((draw(st.floats(0.02, 0.98)), champion, champion + difference))
    return drawn


@settings(deadline=None, max_examples=30)
@given(days(difference=0.0))
def test_an_equal_canary_gives_no_evidence_of_harm_on_average(moments: list[Moment]) -> None:
    assert _expectation(NO_EFFECT, moments, margin=0.05)[0] == pytest.approx(1.0)


@settings(deadline=None, max_examples=30)
@given(days(difference=-0.1))
def test_a_better_canary_gives_even_less(moments: list[Moment]) -> None:
    assert _expectation(NO_EFFECT, moments, margin=0.05)[0] <= 1 + 1e-9


@settings(deadline=None, max_examples=30)
@given(days(difference=0.05))
def test_a_canary_that_is_worse_by_the_margin_is_not_proven_on_average(moments: list[Moment]) -> None:
    assert _expectation(NO_EFFECT, moments, margin=0.05)[1] == pytest.approx(1.0)


def test_the_contrasts_find_the_effect_where_plain_averages_are_misled_by_a_growing_share() -> None:
    """Half the time 10 % canary and 10 % errors, then 50 % canary and 50 % errors: equal all the time."""
    effect = NO_EFFECT
    for share, errors in ((0.1, 0.1), (0.5, 0.5)):
        for is_canary, requests in ((True, round(1000 * share)), (False, round(1000 * (1 - share)))):
            for i in range(requests):
                number = float(i < requests * errors)
                effect = observe(effect, Value(number=number, is_canary=is_canary, share=share))
    assert effect.canary.mean - effect.champion.mean > 0.15
    assert abs(effect.contrasts.mean) < 0.05


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_without_another_arm_there_is_nothing_to_compare(share: float) -> None:
    assert observe(NO_EFFECT, Value(number=1.0, is_canary=True, share=share)) is NO_EFFECT


def test_the_first_number_of_an_unbounded_metric_says_what_is_usual() -> None:
    effect = observe(NO_EFFECT, Value(number=250.0, is_canary=True, share=0.1))
    assert effect.contrasts.mean == 0
    assert effect.canary.mean == 250.0


@pytest.mark.parametrize("number", [nan, -0.1, 1.1])
def test_refuses_a_bounded_number_outside_its_bounds(number: float) -> None:
    with pytest.raises(InvalidInput, match="must lie within"):
        observe(NO_EFFECT, Value(number=number, is_canary=True, share=0.5), bounds=Bounds())


def test_refuses_an_unbounded_number_that_is_none() -> None:
    with pytest.raises(InvalidInput, match="finite"):
        observe(NO_EFFECT, Value(number=nan, is_canary=True, share=0.5))
