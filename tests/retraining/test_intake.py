from typing import Any

from services.retraining.handlers import Intake
from services.retraining.specs import SpecBook
from slipway.clock import SystemClock
from slipway.envelope import Event
from slipway.v1.feedback_pb2 import LabelRetracted, OutcomeMatched


class Examples:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.added: list[Any] = []

    async def add(self, examples: list[Any], _ranges: list[Any]) -> None:
        self.added += examples


def event(message: Any, offset: int) -> Event:
    return Event(topic="labels", key="p", message=message, event_id="", partition=0, offset=offset)


async def test_outcomes_teach_nothing() -> None:
    examples = Examples()
    store: Any = examples
    unused: Any = None
    intake = Intake(store, unused, specs=SpecBook(SystemClock()), desk=unused, settings=unused)
    await intake.handle([event(OutcomeMatched(prediction_id="p", model="m", accepted=False), 1)])
    assert examples.added == []
    retracted = LabelRetracted(prediction_id="p", model="m", revision=2)
    outcome = OutcomeMatched(prediction_id="p", model="m", rating=0.5)
    await intake.handle([event(outcome, 2), event(retracted, 3)])
    assert len(examples.added) == 1
