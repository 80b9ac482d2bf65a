from math import log

import pytest

from services.rollout.domain import label_coverage, sample_ratio
from services.rollout.domain.finding import Standing, find, find_coverage, find_sample_ratio
from services.rollout.domain.label_coverage import Coverage
from services.rollout.domain.pairs import Pairs
from services.rollout.domain.rule import Rule
from services.rollout.domain.rule_evidence import RuleEvidence

RULE = Rule(name="wrong answers", metric="accuracy", is_paired=True, margin=0.02, min_samples=1600)


@pytest.mark.parametrize(
    ("pairs", "standing", "passes"),
    [
        (Pairs(), Standing.GATHERING, False),
        (Pairs(ties=1204), Standing.GATHERING, False),
        (Pairs(ties=5000, wins=100, losses=100), Standing.PROVEN, True),
        (Pairs(ties=1400, wins=100, losses=100), Standing.GATHERING, False),
        (Pairs(losses=50), Standing.HARM, False),
    ],
)
def test_a_rule_with_a_margin_passes_by_proof_alone(pairs: Pairs, standing: Standing, passes: bool) -> None:
    finding = find(RULE, RuleEvidence(pairs=pairs), alpha=0.025, proof_alpha=0.05)
    assert (finding.standing, finding.passes) == (standing, passes)


def test_a_rule_without_a_margin_passes_by_its_samples() -> None:
    rule = Rule(name="wrong answers", metric="accuracy", is_paired=True, min_samples=10)
    few = find(rule, RuleEvidence(pairs=Pairs(ties=9)), alpha=0.05, proof_alpha=0.05)
    enough = find(rule, RuleEvidence(pairs=Pairs(ties=10)), alpha=0.05, proof_alpha=0.05)
    assert (few.standing, enough.standing) == (Standing.GATHERING, Standing.CLEAR)


def test_says_it_in_plain_words() -> None:
    finding = find(RULE, RuleEvidence(pairs=Pairs(ties=1204)), alpha=0.025, proof_alpha=0.05)
    assert finding.text == (
        "wrong answers: 1,204 of 1,600 pairs, harm e-value 1 of 40, proof within 0.02 e-value "
        + finding.text.rsplit("e-value ", 1)[1]
    )
    assert finding.text.endswith("of 20")


def test_names_the_slice_and_the_dry_run() -> None:
    rule = Rule(name="failures", metric="error_rate", slice_name="country=AT", is_dry_run=True)
    text = find(rule, RuleEvidence(), alpha=0.05, proof_alpha=0.05).text
    assert text == "failures in country=AT: 0 of 100 requests, harm e-value 1 of 20, dry run"


def test_a_broken_split_is_found_and_told() -> None:
    whole, drained = sample_ratio.begin((0.1, 0.9)), sample_ratio.begin((0.1, 0.9))
    for i in range(1000):
        whole = sample_ratio.observe(whole, 0 if i % 10 == 0 else 1)
        drained = sample_ratio.observe(drained, 0 if i % 50 == 0 else 1)
    assert find_sample_ratio(whole).standing is Standing.CLEAR
    found = find_sample_ratio(drained)
    assert (found.standing, found.samples) == (Standing.HARM, 1000)
    assert found.text.startswith("units per arm 20, 980 at shares 0.1, 0.9: mismatch e-value")


def coverage(*, canary: int, champion: int, served: int) -> Coverage:
    state = label_coverage.begin(width_s=10, horizon_s=0)
    for is_canary, labels in ((True, canary), (False, champion)):
        state = label_coverage.add_served(state, 0, is_canary=is_canary, share=0.5, requests=served)
        state = label_coverage.add_labelled(state, 0, is_canary=is_canary, share=0.5, labels=labels)
    return label_coverage.close_matured(state, now_s=10)


@pytest.mark.parametrize(
    ("canary", "champion", "served", "standing"),
    [
        (0, 0, 0, Standing.GATHERING),
        (19, 20, 20, Standing.GATHERING),  # fewer than 100 matured
        (195, 195, 200, Standing.CLEAR),
        (90, 100, 100, Standing.GATHERING),  # apart, and no proof of it yet
        (140, 195, 200, Standing.HARM),
        (9800, 9990, 10_000, Standing.CLEAR),  # certainly apart, and by less than the tolerance
    ],
)
def test_labels_must_cover_both_arms_alike(
    canary: int, champion: int, served: int, standing: Standing
) -> None:
    finding = find_coverage(
        coverage(canary=canary, champion=champion, served=served), tolerance=0.05, min_matured=100
    )
    assert finding.standing is standing
    assert f"{served:,} of 100 matured requests" in finding.text


def test_a_huge_e_value_can_be_told() -> None:
    finding = find(RULE, RuleEvidence(pairs=Pairs(losses=10_000)), alpha=0.05, proof_alpha=0.05)
    assert finding.log_e_harm > log(1e300)
    assert "e+" in finding.text
