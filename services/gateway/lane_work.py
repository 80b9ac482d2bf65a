"""A request in a lane: what it brings, what it waits for, and what is done for all that go together."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from services.gateway.defending import defend_answers, defend_inputs
from services.gateway.domain.batching import Columns
from services.gateway.records import Prediction
from slipway.errors import DeadlineExceeded, SlipwayError

_EXPIRED: Final = "the time for the request ran out before the answer came"


@dataclass(slots=True, eq=False)
class Running:
    """A call and how many of its callers still wait."""

    task: "asyncio.Task[None]"
    callers: int


@dataclass(slots=True, eq=False)
class Work:
    """Rows of one request, and the future of their answer."""

    columns: Columns
    rows: int
    size_bytes: int
    level: int
    deadline_s: float
    queued_s: float
    answer: "asyncio.Future[Columns]" = field(repr=False)
    prediction: Prediction | None = None  # None: nobody watches over this call
    running: Running | None = None
    started_s: float = 0.0
    share: float = 1.0  # of the rows of the call that it goes with


def defend_together(batch: Sequence[Work]) -> None:
    """Look at the inputs of all; those that were looked at already are passed over."""
    defend_inputs([work.prediction for work in batch if work.prediction is not None])


def defend_answered(batch: Sequence[Work], answers: Sequence[Columns]) -> None:
    """Look at what a version answered to them."""
    defend_answers(
        [
            (work.prediction, columns)
            for work, columns in zip(batch, answers, strict=True)
            if work.prediction is not None and not work.answer.done()
        ]
    )


def expire(work: Work) -> None:
    """Its time is over."""
    if not work.answer.done():
        work.answer.set_exception(DeadlineExceeded(_EXPIRED))


def fail(batch: Sequence[Work], error: SlipwayError) -> None:
    """Nobody of them gets an answer who has none yet."""
    for work in batch:
        if not work.answer.done():
            work.answer.set_exception(error)
