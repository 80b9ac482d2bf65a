from dataclasses import replace
from math import exp

import pytest

from services.rollout.domain.arm_tally import ArmTally, RivalTally
from services.rollout.domain.evidence import NO_BAKE_EVIDENCE, add_request, e_value
from services.rollout.domain.harm import harm_of_arms, harm_of_shadow, log_e_of_shadow
from services.rollout.domain.shadow import ShadowTally
from services.rollout.domain.single_class import NO_ANSWERS, Answers, observe
from services.rollout.domain.tally import Tally


def _harm(tally: Tally, *, classes: int = 2) -> str:
    return harm_of_arms(tally, alpha=0.05, classes=classes)


def test_what_failed_is_told_in_its_own_words() -> None:
    broken = ArmTally(requests=5, failed=5, fault="INTERNAL: NaN in 'probabilities'")
    assert _harm(Tally(canary=broken)).endswith(
        "in 5 requests, the last one: INTERNAL: NaN in 'probabilities')"
    )


def test_five_failures_of_five_need_no_statistics() -> None:
    # at a share of 90 % failures of the canary are hardly evidence against chance
    four, five = (Tally(canary=ArmTally(requests=n, failed=n)) for n in (4, 5))
    assert not _harm(four)
    assert "every one of its 5 requests failed" in _harm(five)


def test_slow_answers_alone_are_left_to_the_comparison() -> None:
    assert not _harm(Tally(canary=ArmTally(requests=5, slow=5)))


def _answers(others: int, *, share: float) -> Answers:
    answers = NO_ANSWERS
    for _ in range(others):
        answers = observe(answers, (("b", 1),), share=share)
    return answers


def _one_class(others: int, *, share: float = 0.1) -> Tally:
    return Tally(
        canary=ArmTally(requests=9, rows=9, classes=(("a", 9),)),
        champion=ArmTally(classes=(("a", 10), ("b", others))),
        answers=_answers(others, share=share),
    )


def test_a_canary_that_answers_one_class_only_is_taken_back_when_chance_cannot_explain_it() -> None:
    # 1 / 0.9 ** 72 / 2 classes is 985, ** 73 is 1,095
    assert not _harm(_one_class(72))
    assert "all its 9 answers are 'a', while 73 of the champion's beside it are not" in _harm(_one_class(73))


def test_nine_equal_answers_beside_a_mixed_champion_are_no_proof() -> None:
    """An equal canary at 10 % was once taken back for nine answers of one class."""
    assert not _harm(_one_class(45))


def test_a_canary_whose_records_come_late_is_waited_for() -> None:
    early = replace(_one_class(200), canary=ArmTally(requests=1, rows=1, classes=(("a", 1),)))
    assert not _harm(early)


def test_a_shadow_is_taken_back_for_what_it_alone_fails() -> None:
    champion = ArmTally(requests=100)
    few = Tally(champion=champion, shadow=ShadowTally(requests=40, failed=2))
    many = Tally(champion=champion, shadow=ShadowTally(requests=40, failed=9, malformed=1, reason="boom"))
    assert not harm_of_shadow(few, alpha=0.05)
    assert "9 failures, 1 malformed in 40 copies (boom)" in harm_of_shadow(many, alpha=0.05)
    as_bad = replace(many, champion=ArmTally(requests=100, failed=25))
    assert not harm_of_shadow(as_bad, alpha=0.05)
    dead = Tally(shadow=ShadowTally(requests=5, failed=5))
    assert harm_of_shadow(dead, alpha=0.05).startswith("every one of its 5 copies failed")


def test_copies_count_as_requests_do_in_whatever_order() -> None:
    log_ratios = NO_BAKE_EVIDENCE
    for is_bad in (False, True, False, True, True, False, False):
        log_ratios = add_request(log_ratios, is_bad=is_bad, baseline=0.05)
    shadow = Tally(shadow=ShadowTally(requests=7, failed=3))
    assert exp(log_e_of_shadow(shadow)) == pytest.approx(e_value(log_ratios))


def test_a_model_without_classes_has_no_single_one() -> None:
    assert not _harm(_one_class(1000), classes=0)


def test_a_canary_of_two_classes_is_no_single_class() -> None:
    tally = replace(_one_class(1000), canary=ArmTally(classes=(("a", 500), ("b", 1))))
    assert not _harm(tally)


def test_arms_of_a_contest_share_alpha() -> None:
    ratios = (3.2,) * 7  # an e-value of 24.5: more than 20, less than 40
    rival = RivalTally(version="3", log_ratios=ratios)
    assert "e-value 24.5 reached 20" in _harm(Tally(log_ratios=ratios))
    assert not _harm(Tally(rivals=(rival,)))
    assert not _harm(Tally(log_ratios=ratios, rivals=(rival,)))
    harmful = RivalTally(version="3", log_ratios=(4.2,) * 7)  # 66.7 of 60
    assert _harm(Tally(rivals=(rival, harmful))).startswith("version 3: 0 failures")


@pytest.mark.parametrize("rivals", [(), (RivalTally(version="3"),)], ids=["alone", "contest"])
def test_what_was_seen_without_an_arm_beside_counts_as_well(rivals: tuple[RivalTally, ...]) -> None:
    assert "more than the tolerated" in _harm(Tally(bake_log_ratios=(5.0,) * 4, rivals=rivals))
