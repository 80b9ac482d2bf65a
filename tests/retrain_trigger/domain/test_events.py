from dataclasses import replace

import pytest

from services.retrain_trigger.domain.events import (
    BLESSED,
    INSUFFICIENT,
    MAX_ALARMS,
    REJECTED,
    alarm_cleared,
    alarm_raised,
    label_came,
    rollout_moved,
    training_ended,
)
from services.retrain_trigger.domain.state import OpenRequest, TriggerState
from tests.retrain_trigger.domain.test_policy import CONCEPT, POLICY, QUIET, alarm


def test_each_label_moves_the_clock_and_counts_for_its_class() -> None:
    state = label_came(label_came(TriggerState(), "1"), "1")
    assert (state.rows, state.new_labels, state.rows_since_training) == (2, {"1": 2}, 2)


def test_an_alarm_takes_the_place_of_an_older_one_of_its_kind() -> None:
    state = alarm_raised(alarm_raised(QUIET, CONCEPT), replace(CONCEPT, alarm_id="later"))
    assert [a.alarm_id for a in state.alarms] == ["later"]
    assert alarm_cleared(state, "earlier") == state
    assert alarm_cleared(state, "later").alarms == ()


def test_alarms_are_bounded() -> None:
    state = QUIET
    for index in range(MAX_ALARMS + 3):
        state = alarm_raised(state, alarm("DATA", str(index)))
    assert len(state.alarms) == MAX_ALARMS


def test_alarms_about_the_old_champion_count_no_more() -> None:
    state = rollout_moved(alarm_raised(QUIET, CONCEPT), "DONE", champion="4")
    assert (state.champion, state.rollout_state, state.current_alarms) == ("4", "DONE", ())


ASKED = replace(QUIET, open_request=OpenRequest(request_id="r1", requested_at_s=0.0), trained_at_row=400)


@pytest.mark.parametrize(
    ("outcomes", "cool_down"),
    [
        ([BLESSED], 200),
        ([INSUFFICIENT], 200),
        ([REJECTED], 400),
        ([REJECTED, REJECTED], 800),
        ([REJECTED, REJECTED, REJECTED], 800),
        ([REJECTED, INSUFFICIENT], 400),
        ([REJECTED, BLESSED], 200),
    ],
)
def test_the_cool_down_doubles_with_each_rejection(outcomes: list[str], cool_down: int) -> None:
    state = ASKED
    for outcome in outcomes:
        state = training_ended(state, outcome, request_id="r1", policy=POLICY)
    assert state.cool_down_rows_left == cool_down


def test_our_request_is_closed_and_labels_since_it_stay_counted() -> None:
    state = training_ended(ASKED, BLESSED, request_id="r1", policy=POLICY)
    assert (state.open_request, state.trained_at_row) == (None, 400)
    assert state.new_labels == QUIET.new_labels


def test_a_training_by_hand_starts_the_count_anew_and_leaves_our_request_open() -> None:
    state = training_ended(ASKED, BLESSED, request_id="other", policy=POLICY)
    assert (state.open_request, state.trained_at_row, state.new_labels) == (ASKED.open_request, 500, {})
