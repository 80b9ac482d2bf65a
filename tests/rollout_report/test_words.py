import pytest

from slipway.rollout_report import words
from slipway.v1.rollout_pb2 import Finding, RolloutStep


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (45, "45 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7200, "2 h"),
        (9000, "2.5 h"),
        (259200, "3 d"),
    ],
)
def test_a_duration_has_one_unit(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(("log_e", "filled"), [(-5.0, 0), (0.0, 0), (1.5, 5), (3.0, 10), (900.0, 10)])
def test_the_bar_goes_from_no_evidence_to_the_limit(log_e: float, filled: int) -> None:
    assert words.bar(log_e, 3.0) == "█" * filled + "░" * (10 - filled)


def test_where_nothing_is_tested_no_evidence_is_shown() -> None:
    assert words.evidence(1.0, 0.0) == ""
    assert words.evidence(2000.0, 3.0).endswith("e+304 of 20.09")


@pytest.mark.parametrize(
    ("finding", "text"),
    [
        (Finding(is_guardrail=True), "takes back"),
        (Finding(), "holds"),
        (Finding(is_dry_run=True, is_guardrail=True), "is reported"),
    ],
)
def test_the_effect_of_harm_is_named(finding: Finding, text: str) -> None:
    assert words.effect_of(finding) == text


def test_a_step_is_counted_from_one_and_the_bake_is_none() -> None:
    assert words.step_name(RolloutStep(index=1, steps=3, kind="ab")) == "step 2 of 3, A/B"
    assert words.step_name(RolloutStep(index=-1)) == ""
    assert words.timing(RolloutStep(deadline_left_s=60)) == "next step possible now; given up in 60 s"
