from dataclasses import replace

from services.rollout.domain.finding import Finding, Standing
from services.rollout.domain.verdict import Clock, Outcome, judge, status_text

PROVEN = Finding(
    name="errors", standing=Standing.PROVEN, is_guardrail=True, samples=200, needed=100, text="errors proven"
)
CLEAR = replace(PROVEN, name="latency", standing=Standing.CLEAR, text="latency clear")
GATHERING = replace(PROVEN, standing=Standing.GATHERING, samples=60, text="errors: 60 of 100 requests")
HARM = replace(PROVEN, standing=Standing.HARM, text="errors: harm e-value 50 of 20")
SPLIT = Finding(name="sample ratio", standing=Standing.CLEAR, samples=1, text="split fine")
IN_TIME = Clock(deadline_left_s=600)
OVERDUE = Clock(deadline_left_s=0)


def outcome(*rules: Finding, checks: tuple[Finding, ...] = (SPLIT,), clock: Clock = IN_TIME) -> Outcome:
    return judge(rules, checks, clock=clock).outcome


def test_goes_on_when_every_rule_and_check_passes() -> None:
    verdict = judge((PROVEN, CLEAR), (SPLIT,), clock=IN_TIME)
    assert (verdict.outcome, verdict.reason) == (Outcome.ADVANCE, "errors proven; latency clear")
    assert verdict.findings == (PROVEN, CLEAR, SPLIT)


def test_harm_on_a_guardrail_takes_back_at_any_moment() -> None:
    assert outcome(CLEAR, HARM) is Outcome.ROLL_BACK
    assert outcome(HARM, clock=Clock(dwell_left_s=60, deadline_left_s=0)) is Outcome.ROLL_BACK
    broken = replace(SPLIT, standing=Standing.HARM)
    assert outcome(HARM, checks=(broken,)) is Outcome.ROLL_BACK


def test_harm_on_a_signal_holds() -> None:
    verdict = judge((PROVEN, replace(HARM, is_guardrail=False)), (SPLIT,), clock=IN_TIME)
    assert (verdict.outcome, verdict.reason) == (Outcome.HOLD, "errors: harm e-value 50 of 20")


def test_a_dry_run_decides_nothing() -> None:
    assert outcome(PROVEN, replace(HARM, is_dry_run=True)) is Outcome.ADVANCE
    assert outcome(PROVEN, replace(GATHERING, is_dry_run=True)) is Outcome.ADVANCE


def test_a_broken_split_holds_however_good_the_rules_look() -> None:
    assert outcome(PROVEN, checks=(replace(SPLIT, standing=Standing.HARM),)) is Outcome.HOLD


def test_missing_labels_hold_back_though_they_prove_nothing() -> None:
    assert outcome(PROVEN, checks=(replace(SPLIT, standing=Standing.GATHERING),)) is Outcome.WAIT


def test_no_data_holds_and_is_given_up_at_the_deadline() -> None:
    nothing = replace(GATHERING, samples=0, text="errors: 0 of 100 requests")
    assert outcome(nothing) is Outcome.HOLD
    verdict = judge((nothing,), (SPLIT,), clock=OVERDUE)
    assert verdict.outcome is Outcome.GIVE_UP
    assert "no data: errors: 0 of 100 requests" in verdict.reason
    assert "no pass" in verdict.reason


def test_without_an_enforced_rule_nothing_can_be_proven() -> None:
    assert outcome() is Outcome.HOLD
    assert outcome(replace(PROVEN, is_dry_run=True)) is Outcome.HOLD
    assert outcome(clock=OVERDUE) is Outcome.GIVE_UP


def test_waits_while_evidence_comes_in_and_gives_up_at_the_deadline() -> None:
    assert outcome(PROVEN, GATHERING) is Outcome.WAIT
    assert outcome(PROVEN, GATHERING, clock=OVERDUE) is Outcome.GIVE_UP


def test_inconclusive_is_never_promoted() -> None:
    for standing in (Standing.GATHERING, Standing.HARM):
        for is_guardrail in (True, False):
            line = replace(PROVEN, standing=standing, is_guardrail=is_guardrail)
            for clock in (IN_TIME, OVERDUE):
                assert outcome(line, clock=clock) is not Outcome.ADVANCE


def test_proof_at_the_deadline_is_still_proof() -> None:
    assert outcome(PROVEN, clock=OVERDUE) is Outcome.ADVANCE


def test_a_step_lasts_its_time() -> None:
    verdict = judge((PROVEN,), (SPLIT,), clock=Clock(dwell_left_s=30, deadline_left_s=600))
    assert verdict.outcome is Outcome.WAIT
    assert verdict.reason == "errors proven; the step lasts 30 s more"


def test_tells_where_it_stands_in_one_line() -> None:
    clock = Clock(dwell_left_s=45, deadline_left_s=600)
    line = status_text(judge((GATHERING,), (), clock=clock), position="canary 5 %", clock=clock)
    assert line == (
        "canary 5 %, wait: errors: 60 of 100 requests; next step in 45 s at the earliest, given up in 600 s"
    )


def test_tells_that_only_evidence_is_missing() -> None:
    line = status_text(judge((GATHERING,), (), clock=IN_TIME), position="canary 5 %", clock=IN_TIME)
    assert line.endswith("; next step as soon as this passes, given up in 600 s")


def test_tells_what_happens_now() -> None:
    for rules, clock, end in (
        ((PROVEN,), IN_TIME, "next step now"),
        ((HARM,), IN_TIME, "taken back now"),
        ((GATHERING,), OVERDUE, "given up now"),
    ):
        line = status_text(judge(rules, (), clock=clock), position="canary 5 %", clock=clock)
        assert line.endswith(end)
