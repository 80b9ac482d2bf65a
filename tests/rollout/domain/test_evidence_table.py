import json
from math import log

import numpy as np
import pytest

from services.rollout.domain.evidence_form import caps_of, from_plain, to_plain, with_caps
from services.rollout.domain.evidence_table import EvidenceTable, add, add_pair, begin, find_all, fitted
from services.rollout.domain.finding import Standing
from services.rollout.domain.rule import Rule
from services.rollout.domain.rule_evidence import Measurement, PairMeasurement
from slipway.errors import InvalidInput

ERRORS = Rule(name="errors", metric="error_rate", margin=0.05)
SLOW = Rule(name="slow", metric="latency_p99", alpha_weight=3)
COST = Rule(name="cost", metric="cost", is_guardrail=False)
TRIED = Rule(name="tried", metric="error_rate", is_dry_run=True)
SHADOW = Rule(name="shadow", metric="accuracy", is_paired=True, is_guardrail=False)
RULES = (ERRORS, SLOW, COST, TRIED, SHADOW)


def filled(table: EvidenceTable, *, seed: int, requests: int) -> EvidenceTable:
    rng = np.random.default_rng(seed)
    for _ in range(requests):
        is_canary, unit = bool(rng.random() < 0.2), f"unit-{rng.integers(50)}"
        event = Measurement(value=float(rng.random() < 0.3), is_canary=is_canary, share=0.2, unit=unit)
        cost = Measurement(value=float(rng.exponential()), is_canary=is_canary, share=0.2)
        pair = PairMeasurement(is_champion_right=bool(rng.random() < 0.9), is_candidate_right=True)
        table = add(add(table, ERRORS, event), COST, cost)
        table = add_pair(table, SHADOW, pair)
    return table


def test_each_rule_is_judged_by_its_own_part_of_alpha() -> None:
    findings = find_all(begin(RULES), RULES, alphas={"errors": 0.01, "slow": 0.03}, alpha=0.04)
    limits = [f.text.split(" of ")[2].split(",")[0] for f in findings]
    assert limits == ["100", "33.33", "25", "25", "25"]
    assert [round(f.log_harm_limit, 6) for f in findings] == [
        round(-log(alpha), 6) for alpha in (0.01, 0.03, 0.04, 0.04, 0.04)
    ]
    assert [f.log_proof_limit > 0 for f in findings] == [True, False, False, False, False]


def test_a_new_table_has_seen_nothing() -> None:
    found = find_all(begin(RULES), RULES, alphas={}, alpha=0.05)
    assert {f.standing for f in found} == {Standing.GATHERING}
    assert EvidenceTable().of("errors") == begin(RULES).of("errors")


def test_a_table_is_fitted_to_other_rules_and_keeps_what_it_knows() -> None:
    table = filled(begin(RULES), seed=1, requests=20)
    assert fitted(table, RULES) is table
    other = fitted(table, (COST, Rule(name="new", metric="abstention")))
    assert [name for name, _ in other.rows] == ["cost", "new"]
    assert other.of("cost") == table.of("cost")
    assert other.of("new") == EvidenceTable().of("new")


def test_the_form_gives_back_the_same_state_and_goes_on_the_same_way() -> None:
    table = filled(begin(RULES), seed=1, requests=120)
    restored = with_caps(from_plain(json.loads(json.dumps(to_plain(table)))), dict(caps_of(table)))
    assert restored == table
    assert filled(restored, seed=2, requests=60) == filled(table, seed=2, requests=60)


def test_a_replay_gives_the_same_state_byte_for_byte() -> None:
    one, other = (filled(begin(RULES), seed=3, requests=120) for _ in range(2))
    assert json.dumps(to_plain(one)) == json.dumps(to_plain(other))


def test_refuses_two_rules_of_one_name_and_a_rule_of_another_table() -> None:
    with pytest.raises(InvalidInput, match="name of its own"):
        begin((ERRORS, ERRORS))
    with pytest.raises(InvalidInput, match="not in the table"):
        add(begin((SLOW,)), ERRORS, Measurement(value=0.0, is_canary=True, share=0.5))
