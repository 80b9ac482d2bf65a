import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.retraining.domain.gate import Outcome, Verdict, find_gap_in_classes, judge
from services.retraining.domain.scores import Answers, Codes, last_label, log_loss, majority, score

TRUTH = np.tile(np.array([0, 1], dtype=np.int64), 50)


def with_errors(contestant: str, count: int, *, confidence: float | None = None) -> Answers:
    predicted = TRUTH.copy()
    predicted[:count] = 1 - predicted[:count]
    if confidence is None:
        return Answers(contestant=contestant, predicted=predicted)
    chosen = np.eye(2)[predicted]
    return Answers(
        contestant=contestant,
        predicted=predicted,
        probabilities=chosen * (2 * confidence - 1) + 1 - confidence,
    )


BASELINES = (with_errors("majority", 50), with_errors("last_label", 35))


def gate(*candidates: Answers, champion: Answers | None = None, margin: float = 0.0) -> Verdict:
    return judge(candidates, TRUTH, champion=champion, baselines=BASELINES, margin=margin)


def test_the_better_one_of_two_windows_is_blessed_over_a_worse_champion() -> None:
    it = gate(
        with_errors("window:all", 20), with_errors("window:sliding", 15), champion=with_errors("champion", 18)
    )
    assert (it.outcome, it.winner, it.wins, it.losses) == (Outcome.BLESSED, "window:sliding", 3, 0)
    assert (
        "window:sliding 0.8500 against champion 0.8200 on the same 100 rows (3 better, 0 worse)" in it.reason
    )
    assert [s.contestant for s in it.scores] == [
        *("window:sliding", "window:all", "champion", "majority", "last_label")
    ]


def test_equal_accuracies_are_told_apart_by_log_loss() -> None:
    sure, unsure = (
        with_errors("window:all", 10, confidence=0.99),
        with_errors("window:sliding", 10, confidence=0.8),
    )
    assert gate(sure, unsure).winner == "window:sliding"
    assert gate(with_errors("window:none", 10), sure).winner == "window:all"


@pytest.mark.parametrize(
    ("errors", "margin", "outcome"),
    [
        (10, 0.0, Outcome.BLESSED),
        (11, 0.0, Outcome.REJECTED),
        (12, -0.02, Outcome.BLESSED),
        (13, -0.02, Outcome.REJECTED),
        (7, 0.03, Outcome.BLESSED),
        (8, 0.03, Outcome.REJECTED),
    ],
)
def test_the_margin_is_met_or_missed_by_one_row(errors: int, margin: float, outcome: Outcome) -> None:
    it = gate(with_errors("window:all", errors), champion=with_errors("champion", 10), margin=margin)
    assert it.outcome is outcome


def test_a_champion_beaten_does_not_help_against_the_last_label() -> None:
    it = gate(with_errors("window:all", 35), champion=with_errors("champion", 60))
    assert it.outcome is Outcome.REJECTED
    assert it.reason == "window:all 0.6500 does not beat last_label 0.6500 on the same 100 rows"


def test_a_first_version_must_beat_the_majority_only() -> None:
    assert gate(with_errors("window:all", 40)).outcome is Outcome.BLESSED
    assert "there is no champion yet" in gate(with_errors("window:all", 40)).reason
    assert gate(with_errors("window:all", 50)).outcome is Outcome.REJECTED


@given(
    st.lists(st.integers(0, 1), min_size=1, max_size=40),
    st.lists(st.integers(0, 1), min_size=40, max_size=40),
    st.lists(st.integers(0, 1), min_size=40, max_size=40),
    st.integers(-20, 20),
)
def test_nobody_is_blessed_who_is_worse_by_more_than_the_margin(
    truth: list[int], candidate: list[int], champion: list[int], margin_percent: int
) -> None:
    codes = np.array(truth, dtype=np.int64)
    new, old = (np.array(x[: len(truth)], dtype=np.int64) for x in (candidate, champion))
    it = judge(
        [Answers(contestant="window:all", predicted=new)],
        codes,
        champion=Answers(contestant="champion", predicted=old),
        baselines=(),
        margin=margin_percent / 100,
    )
    gain = int(np.sum(new == codes)) - int(np.sum(old == codes))
    assert (it.outcome is Outcome.BLESSED) == (100 * gain >= margin_percent * len(truth))


def test_a_missing_class_is_named() -> None:
    codes: Codes = np.array([0, 0, 0, 1], dtype=np.int64)
    gap = find_gap_in_classes(codes, classes=["a", "b", "c"], min_rows=1, where="in training")
    assert gap == "class 'c' has 0 rows in training, needed are 1"
    assert find_gap_in_classes(codes, classes=["a", "b"], min_rows=1, where="in training") == ""


def test_log_loss_of_a_coin() -> None:
    assert log_loss(np.full((4, 2), 0.5), np.array([0, 1, 0, 1])) == pytest.approx(np.log(2))
    assert log_loss(np.array([[0.0, 1.0]]), np.array([0])) == pytest.approx(-np.log(1e-15))


def test_baselines() -> None:
    codes: Codes = np.array([1, 1, 0, 1, 0, 0, 1, 0], dtype=np.int64)
    assert majority(codes[:4], rows=3).predicted.tolist() == [1, 1, 1]
    assert last_label(codes, holdout_start=5, horizon_rows=2).predicted.tolist() == [1, 0, 0]
    assert last_label(codes, holdout_start=5, horizon_rows=0).predicted.tolist() == [0, 0, 1]
    assert score(majority(codes, rows=8), codes).accuracy == 0.5
