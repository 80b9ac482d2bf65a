import pytest

from services.rollout.domain.arms_analysis import Direction, analyse_means, analyse_shares
from services.rollout.domain.arms_seen import NO_ARMS, Arms, Question, counts_of, moments_of, observe
from services.rollout.domain.assignment import Assignment

ACCURACY = Question(metric="accuracy", is_larger_better=True)
ERRORS = Question(metric="error_rate", is_larger_better=False)
VALUE = Question(metric="value", is_larger_better=True)
VERSIONS = ("2", "3", "1")


def drawn(arm: int) -> Assignment:
    return Assignment(shares=(0.25, 0.25, 0.5), arm=arm, versions=VERSIONS, is_present=True)


def filled(question: Question, values: tuple[tuple[float, ...], ...]) -> Arms:
    """The same number of requests for each arm, in turn."""
    arms = NO_ARMS
    for each in zip(*values, strict=True):
        for arm, value in enumerate(each):
            arms = observe(arms, drawn(arm), value, question=question)
    return arms


def test_each_arm_is_counted_for_the_analysis_at_the_end() -> None:
    right, wrong = (1.0,) * 180 + (0.0,) * 20, (1.0,) * 100 + (0.0,) * 100
    arms = filled(ACCURACY, (right, wrong, wrong))
    assert counts_of(arms) == {"2": (180, 200), "3": (100, 200), "1": (100, 200)}
    found = analyse_shares(counts_of(arms), control="1", alpha=0.05, is_larger_better=True)
    assert {r.arm: r.direction for r in found} == {"2": Direction.BETTER, "3": Direction.OPEN}


def test_numbers_have_moments() -> None:
    arms = filled(VALUE, ((1.0, 3.0, 2.0), (5.0, 6.0, 7.0), (1.0, 2.0, 3.0)))
    assert moments_of(arms)["3"].mean == pytest.approx(6)
    found = analyse_means(moments_of(arms), control="1", alpha=0.05, is_larger_better=True)
    assert {r.arm: r.direction for r in found}["3"] is Direction.BETTER
    assert arms[1].effect.contrasts.mean < 0  # larger is worse there


@pytest.mark.parametrize("question", [ACCURACY, ERRORS])
def test_the_look_all_along_bets_on_both_directions(question: Question) -> None:
    good = 1.0 if question.is_larger_better else 0.0
    arms = filled(question, ((good,) * 100, (1 - good,) * 100, (good, 1 - good) * 50))
    better, worse, champion = arms
    assert better.effect.proof.log_e_value > 3 > 0 > better.effect.harm.log_e_value
    assert worse.effect.harm.log_e_value > 3 > 0 > worse.effect.proof.log_e_value
    assert champion.effect.contrasts.count == 0
    # of the champion's requests each arm hears
    assert better.effect.contrasts.count == 200
