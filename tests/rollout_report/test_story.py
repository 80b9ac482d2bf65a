import pytest

from slipway.rollout_report.story import tell
from slipway.v1.rollout_pb2 import RolloutReport
from tests.rollout_report.reports import BEGAN_S, finding, point, promoted, taken_back


def test_the_legs_have_times_reasons_and_what_people_did() -> None:
    legs = tell(promoted()).legs
    assert [(leg.state, leg.step, leg.weight_ppm) for leg in legs] == [
        ("WARMING", -1, 0),
        ("SHADOW", 0, 0),
        ("CANARY", 1, 100_000),
        ("BAKE", -1, 1_000_000),
    ]
    canary = legs[2]
    assert (canary.began_s, canary.ended_s) == (BEGAN_S + 1800, BEGAN_S + 3000)
    assert (canary.entered_because, canary.left_because) == ("reason 3", "reason 5")
    assert canary.notes == ("approve by bob: reason 4",)


def test_each_leg_keeps_the_last_evidence_of_its_own_step() -> None:
    legs = tell(promoted()).legs
    assert [[f.standing for f in leg.findings] for leg in legs] == [[], ["proven"], ["clear", "clear"], []]


def test_quality_that_pairs_have_proven_is_called_proven_on_pairs() -> None:
    story = tell(promoted())
    assert (
        story.proven[0]
        == "step 1 (shadow): accuracy, on pairs, is no worse by the margin: right-answers: 120 of 100"
    )
    assert story.not_proven[0].startswith("Quality (right-answers) was proven on pairs")


def test_without_a_proof_of_its_own_the_gate_is_named_and_the_canary_speaks_of_health() -> None:
    report = promoted()
    del report.points[:2]
    story = tell(report)
    assert story.not_proven[0].startswith("Quality was judged on pairs by the gate of retraining")
    assert "the canary of this rollout proves health only" in story.not_proven[0]
    assert story.proven[-1].startswith("Before the rollout the gate has judged its quality: accuracy 0.910")
    assert story.not_proven[-1].startswith("No evidence was kept of at least one step")


def test_a_rule_without_a_margin_has_shown_no_harm_and_proven_nothing() -> None:
    story = tell(promoted())
    assert any(s.startswith("step 2 (canary): no harm was seen in 120 samples") for s in story.proven)
    assert any("errors asked for no proof" in s for s in story.not_proven)


def test_labels_of_two_arms_prove_their_metric_only() -> None:
    report = promoted()
    report.yaml = report.yaml.replace("paired: true, ", "").replace(
        "rollout:", "rollout:\n  label_horizon_s: 60"
    )
    assert tell(report).not_proven[0].startswith("Quality (right-answers) was proven on labels of both arms")


def test_a_version_that_did_harm_was_proven_by_nobody() -> None:
    story = tell(taken_back())
    assert (story.outcome, story.started_by) == ("taken back", "anna")
    assert story.cause == "12 failures: e-value 41 of 40"
    assert story.proven == ("step 2 (canary): harm: errors: 120 of 100",)
    assert story.not_proven[0] == "Quality was not proven by anybody: this rollout speaks of health only."
    assert any("late was still open" in s for s in story.not_proven)


@pytest.mark.parametrize(
    ("state", "outcome"), [("CANARY", "under way"), ("DONE", "promoted"), ("ROLLED_BACK", "taken back")]
)
def test_the_outcome_is_that_of_the_last_state(state: str, outcome: str) -> None:
    report = taken_back()
    report.state = state
    assert tell(report).outcome == outcome


def test_what_is_live_has_a_leg_without_an_end() -> None:
    report = promoted()
    del report.events[3:]
    report.state = "CANARY"
    report.points.append(point(400, 1, finding("errors", "gathering")))
    last = tell(report).legs[-1]
    assert (last.ended_s, last.left_because) == (None, "")
    assert [f.standing for f in last.findings] == ["gathering"]


def test_what_cannot_be_read_any_more_is_left_out() -> None:
    report = promoted()
    report.yaml, report.events[0].evidence = "name: m\nbogus: 1\n", "{"
    story = tell(report)
    assert story.quality == ""
    assert story.proven[0].startswith("step 1 (shadow): the version is no worse by the margin")


def test_an_empty_report_is_told_as_well() -> None:
    story = tell(RolloutReport())
    assert (story.outcome, story.legs, story.started_by) == ("under way", (), "")
