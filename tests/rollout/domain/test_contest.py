from collections.abc import Mapping

import pytest

from services.rollout.domain.contest import Contest, judge_contest
from services.rollout.domain.finding import Standing
from services.rollout.domain.moments import NO_MOMENTS, Moments, observe
from slipway.spec_sections import Step
from tests.rollout.rollouts import NAMES

AT_END = Step(kind="ab", weight_percent=50, metric="error_rate", better="lower", min_samples=200)
AS_IT_GOES = AT_END.model_copy(update={"analysis": "sequential"})
TWO = (NAMES[2], NAMES[3])


def _failing(share: float, *, of: int = 200) -> Moments:
    moments = NO_MOMENTS
    for at in range(of):
        moments = observe(moments, float(at < share * of))
    return moments


def _contest(seen: Mapping[str, Moments], step: Step = AT_END) -> Contest:
    versions = tuple(v for v in TWO if v.version in seen)
    return judge_contest(seen, versions, control="1", step=step, alpha=0.05)


def test_nothing_is_read_before_every_arm_has_its_samples() -> None:
    contest = _contest({"1": _failing(0.5), "2": _failing(0.1), "3": _failing(0.1, of=199)})
    assert (contest.winner, contest.is_decided) == (None, False)
    assert contest.finding.standing is Standing.GATHERING
    assert (contest.finding.samples, contest.finding.needed) == (199, 200)


@pytest.mark.parametrize("step", [AT_END, AS_IT_GOES], ids=["at end", "sequential"])
def test_the_best_of_the_better_ones_wins(step: Step) -> None:
    seen = {"1": _failing(0.5, of=400), "2": _failing(0.2, of=400), "3": _failing(0.1, of=400)}
    contest = _contest(seen, step)
    assert (contest.winner, contest.is_decided) == (NAMES[3], True)
    assert contest.finding.passes
    assert contest.finding.text.startswith("version 3 is better: error_rate, lower is better")


@pytest.mark.parametrize("step", [AT_END, AS_IT_GOES], ids=["at end", "sequential"])
def test_higher_may_be_better(step: Step) -> None:
    higher = step.model_copy(update={"better": "higher"})
    contest = _contest({"1": _failing(0.1), "2": _failing(0.5)}, higher)
    assert contest.winner == NAMES[2]
    assert _contest({"1": _failing(0.5), "2": _failing(0.1)}, higher).winner is None


def test_read_at_the_end_without_a_winner_the_step_is_over() -> None:
    contest = _contest({"1": _failing(0.3), "2": _failing(0.29), "3": _failing(0.31)})
    assert (contest.winner, contest.is_decided) == (None, True)
    assert "version 2 open (p " in contest.finding.text


def test_where_nothing_varies_nothing_is_shown() -> None:
    contest = _contest({"1": _failing(0), "2": _failing(0), "3": _failing(0.5)})
    assert (contest.winner, contest.is_decided) == (None, True)
    assert "version 2 open (nothing varies), version 3 worse" in contest.finding.text
    assert _contest({"1": _failing(0), "2": _failing(0)}).winner is None


def test_a_sequential_step_goes_on_while_it_is_open() -> None:
    contest = _contest({"1": _failing(0.3), "2": _failing(0.28)}, AS_IT_GOES)
    assert (contest.winner, contest.is_decided) == (None, False)
    assert "version 2 open (e-value " in contest.finding.text
    assert "of 20)" in contest.finding.text


def test_a_sequential_step_ends_when_every_arm_is_worse() -> None:
    one_worse = {"1": _failing(0.1), "2": _failing(0.5), "3": _failing(0.1)}
    assert not _contest(one_worse, AS_IT_GOES).is_decided
    contest = _contest({"1": _failing(0.1), "2": _failing(0.5)}, AS_IT_GOES)
    assert (contest.winner, contest.is_decided) == (None, True)
