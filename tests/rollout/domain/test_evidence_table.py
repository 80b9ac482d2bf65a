import json

import numpy as np
import pytest

from services.rollout.domain.evidence_form import from_plain, to_plain
from services.rollout.domain.evidence_table import EvidenceTable, add, add_pair, begin, find_all
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


def test_guardrails_share_alpha_by_weight_and_the_others_spend_none_of_it() -> None:
    findings = find_all(begin(RULES), RULES, alpha=0.04)
    limits = [f.text.split(" of ")[2].split(",")[0] for f in findings]
    assert limits == ["100", "33.33", "25", "25", "25"]


def test_a_new_table_has_seen_nothing() -> None:
    assert {f.standing for f in find_all(begin(RULES), RULES, alpha=0.05)} == {Standing.GATHERING}
    assert EvidenceTable().of("errors") == begin(RULES).of("errors")


def test_the_form_gives_back_the_same_state_and_goes_on_the_same_way() -> None:
    table = filled(begin(RULES), seed=1, requests=120)
    restored = from_plain(json.loads(json.dumps(to_plain(table))))
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
