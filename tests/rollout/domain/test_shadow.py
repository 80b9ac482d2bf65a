import pytest

from services.rollout.domain.shadow import NO_SHADOW, Answered, ShadowSeen, observe


def copy(outcome: Answered = "good", *, compared: int = 2, agreed: int = 1, reason: str = "") -> ShadowSeen:
    return ShadowSeen(
        source="shadow_predictions/0",
        offset=1,
        prediction_id="p",
        version="2",
        route_epoch=3,
        rows=2,
        latency_s=0.1,
        outcome=outcome,
        compared=compared,
        agreed=agreed,
        reason=reason,
    )


def test_copies_are_counted_with_how_often_both_agreed() -> None:
    tally = observe(observe(NO_SHADOW, copy()), copy("slow", agreed=2))
    assert (tally.requests, tally.rows, tally.slow, tally.broken) == (2, 4, 1, 0)
    assert tally.agreement == pytest.approx(0.75)
    assert len(tally.latency.fresh) == 2


@pytest.mark.parametrize("outcome", ["failed", "malformed"])
def test_a_broken_copy_keeps_its_reason_and_has_no_latency(outcome: Answered) -> None:
    tally = observe(NO_SHADOW, copy(outcome, compared=0, agreed=0, reason="output value has NaN"))
    assert (tally.broken, tally.agreement, tally.latency.fresh) == (1, 0.0, ())
    assert observe(tally, copy()).reason == "output value has NaN"
