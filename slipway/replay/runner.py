"""The replay itself: rows in, labels behind them, and waiting where the pace says so."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from slipway.clock import Clock
from slipway.envelope import Outgoing, encode
from slipway.errors import SlipwayError, Unavailable
from slipway.kafka import Producer
from slipway.replay.control import LIVE, Control
from slipway.replay.ledger import Ledger
from slipway.replay.pace import Faithful, Steady
from slipway.replay.pipeline import Pipeline
from slipway.v1.feedback_pb2 import FeedbackReceived

_CHUNK_ROWS: Final = 24
_IN_FLIGHT: Final = 32
QUIET_S: Final = 120.0
_TRAINING_S: Final = 600.0
_POLL_S: Final = 0.05
_PUBLISH_BATCH: Final = 500
_DELIVER_S: Final = 180.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one row."""

    label: str
    version: str
    prediction_id: str
    feedback_token: str


class Caller(Protocol):
    """Sends one row to the gateway."""

    async def __call__(self, values: Sequence[float | str]) -> Answer:
        """The answer; raises SlipwayError where there is none."""
        ...


@dataclass(slots=True, kw_only=True)
class Runner:
    """Drives one stream through the platform."""

    model: str
    rows: Sequence[Sequence[float | str]]
    ledger: Ledger
    call: Caller
    producer: Producer
    control: Control
    pipeline: Pipeline
    clock: Clock
    doing: str = "starting"
    _tokens: dict[int, str] = field(default_factory=dict)

    async def run(self, pace: Faithful | Steady) -> None:
        """Send every row, then all labels that are left, then wait until everything is worked through."""
        if isinstance(pace, Faithful):
            await self._faithful()
        else:
            await self._steady(pace)
        self.doing = "publishing the last labels"
        await self._publish(self.ledger.release_rest())
        self.doing = "waiting until everything is worked through"
        await self._settle()

    async def _faithful(self) -> None:
        for start in range(0, len(self.rows), _CHUNK_ROWS):
            self.doing = "streaming"
            chunk = range(start, min(start + _CHUNK_ROWS, len(self.rows)))
            await asyncio.gather(*map(self._ask, chunk))
            self.ledger.sent = chunk.stop
            await self._publish(self.ledger.release())
            await self._settle()

    async def _settle(self) -> None:
        """Half an hour lies between two real records: whatever they set off has ended before the next."""
        await self.pipeline.until_quiet(deadline_s=QUIET_S)
        async with asyncio.timeout(_TRAINING_S):
            while busy := await self._busy():
                self.doing = busy
                await asyncio.sleep(_POLL_S)
                await self.pipeline.until_quiet(deadline_s=QUIET_S)

    async def _busy(self) -> str:
        training, rollout = await asyncio.gather(
            self.control.training(self.model), self.control.rollout(self.model)
        )
        if training.is_training or training.open_requests:
            return f"training: {training.stage}"
        return f"deploying version {rollout.version}" if rollout.state == LIVE[0] else ""

    async def _steady(self, pace: Steady) -> None:
        """Send at a fixed rate, never waiting for anything but a free place among those in flight."""
        self.doing = "streaming"
        places = asyncio.Semaphore(_IN_FLIGHT)
        start_s = self.clock.monotonic_s()
        publisher = asyncio.create_task(self._publish_behind(), name="labels")
        async with asyncio.TaskGroup() as group:
            for row in range(len(self.rows)):
                due_s = start_s + row / pace.rows_per_s
                if (wait_s := due_s - self.clock.monotonic_s()) > 0:
                    await asyncio.sleep(wait_s)
                await places.acquire()
                group.create_task(self._ask(row)).add_done_callback(lambda _: places.release())
                # Rows still in flight count as unsent: their successors' labels wait with them.
                self.ledger.sent = max(self.ledger.sent, row + 1 - _IN_FLIGHT)
        self.ledger.sent = len(self.rows)
        publisher.cancel()
        await asyncio.wait({publisher})

    async def _publish_behind(self) -> None:
        while True:
            rows = self.ledger.release()
            # Shielded, so that the end of the stream cannot cut a batch in two.
            await asyncio.shield(self._publish(rows))
            await asyncio.sleep(_POLL_S)

    async def _ask(self, row: int) -> None:
        start_s = self.clock.monotonic_s()
        try:
            answer = await self.call(self.rows[row])
        except SlipwayError as error:
            self.ledger.failed(row, str(error))
            return
        self._tokens[row] = answer.feedback_token
        self.ledger.answered(
            row,
            label=answer.label,
            version=answer.version,
            prediction_id=answer.prediction_id,
            latency_s=self.clock.monotonic_s() - start_s,
        )

    async def _publish(self, rows: list[int]) -> None:
        """Send the labels of these rows to the public topic, as any application would."""
        labelled = [row for row in rows if self.ledger.prediction_id[row]]
        for at in range(0, len(labelled), _PUBLISH_BATCH):
            await self._deliver([self._feedback(row) for row in labelled[at : at + _PUBLISH_BATCH]])

    async def _deliver(self, messages: list[Outgoing]) -> None:
        """A label that may have arrived is sent again: its feedback id makes that harmless."""
        async with asyncio.timeout(_DELIVER_S):
            while True:
                try:
                    await self.producer.publish(messages)
                    return
                except Unavailable:
                    await asyncio.sleep(_POLL_S)

    def _feedback(self, row: int) -> Outgoing:
        prediction_id = self.ledger.prediction_id[row]
        message = FeedbackReceived(
            prediction_id=prediction_id,
            feedback_token=self._tokens.pop(row),
            label=self.ledger.truth[row],
            source="replay",
            feedback_id=f"replay-{prediction_id}",
        )
        return encode("feedback", message, key=prediction_id, event_id=message.feedback_id, source="replay")
