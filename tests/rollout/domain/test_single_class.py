from itertools import product
from math import exp, log

import pytest

from services.rollout.domain.single_class import NO_ANSWERS, Answers, log_e_value, observe

A, B, BOTH = (("a", 1),), (("b", 1),), (("a", 2), ("b", 1))


def _of(*requests: tuple[tuple[str, int], ...], share: float = 0.1) -> Answers:
    answers = NO_ANSWERS
    for classes in requests:
        answers = observe(answers, classes, share=share)
    return answers


def test_each_other_answer_of_the_champion_speaks_against_the_canary() -> None:
    assert log_e_value(_of(B, B, B), "a", classes=2) == pytest.approx(-3 * log(0.9) - log(2))


def test_answers_of_the_same_class_say_nothing() -> None:
    assert log_e_value(_of(A, A, A), "a", classes=2) == pytest.approx(-log(2))


def test_a_request_of_several_rows_is_one_event() -> None:
    assert log_e_value(_of(BOTH), "a", classes=2) == pytest.approx(-log(0.9) - log(2))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_without_an_arm_beside_there_is_nothing_to_compare(share: float) -> None:
    assert _of(A, B, share=share) == NO_ANSWERS


def test_sealed_answers_change_nothing() -> None:
    assert _of(()) == NO_ANSWERS


@pytest.mark.parametrize("share", [0.05, 0.3])
@pytest.mark.parametrize("chance_of_a", [0.2, 0.7])
def test_the_expected_e_value_of_an_equal_canary_is_never_above_one(share: float, chance_of_a: float) -> None:
    """All courses of six requests, each weighed by its chance: an exact enumeration."""
    expected = 0.0
    for course in product(("canary", "champion"), ("a", "b"), repeat=6):
        arms, labels = course[::2], course[1::2]
        chance, answers, given = 1.0, NO_ANSWERS, set()
        for arm, label in zip(arms, labels, strict=True):
            chance *= share if arm == "canary" else 1 - share
            chance *= chance_of_a if label == "a" else 1 - chance_of_a
            if arm == "canary":
                given.add(label)
            else:
                answers = observe(answers, ((label, 1),), share=share)
        if len(given) == 1:
            expected += chance * exp(log_e_value(answers, given.pop(), classes=2))
    assert expected <= 1
