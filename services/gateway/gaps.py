"""Gaps in the records: what models answered without one, because their spec says so.

A gap is counted in memory, kept in a small file, and told by one record when there is room again.
"""

import asyncio
import logging
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import orjson

from services.gateway import metrics
from services.gateway.records import SOURCE, timestamp
from services.gateway.spool import Spool
from slipway.clock import Clock
from slipway.envelope import Outgoing, attributes
from slipway.errors import Overloaded
from slipway.ids import new_id
from slipway.snapshots import write_atomically
from slipway.topics import PREDICTIONS
from slipway.v1.predictions_pb2 import PredictionContext, PredictionsUnrecorded

log = logging.getLogger(__name__)

FILE: Final = "unrecorded.json"
_LOOK_S: Final = 0.5
Kind = Literal["answered", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """What one model left unrecorded in one stretch of time."""

    gap_id: str
    tenant: str
    model: str
    answered: int
    failed: int
    first_s: float
    last_s: float


class Gaps:
    """Counts what leaves no record, and tells it."""

    def __init__(self, path: Path, spool: Spool, *, clock: Clock) -> None:
        self._path = path
        self._spool = spool
        self._clock = clock
        self._open: dict[tuple[str, str], Gap] = {}
        self._closed = _restored(path)  # counted to the end: told again after a crash, they say the same
        self._is_saved = True

    @property
    def open(self) -> tuple[Gap, ...]:
        """What has not been told yet."""
        return (*self._closed, *self._open.values())

    def add(self, tenant: str, model: str, *, kind: Kind) -> None:
        """Count one answer or failure."""
        metrics.UNRECORDED.labels(model, kind).inc()
        now_s, key = self._clock.now_s(), (tenant, model)
        gap = self._open.get(key) or Gap(
            gap_id=new_id(), tenant=tenant, model=model, answered=0, failed=0, first_s=now_s, last_s=now_s
        )
        self._open[key] = replace(
            gap,
            answered=gap.answered + (kind == "answered"),
            failed=gap.failed + (kind == "failed"),
            last_s=now_s,
        )
        self._is_saved = False

    async def run(self, stop: asyncio.Event) -> None:
        """Keep what is counted on disk, and tell it as soon as there is room."""
        while not stop.is_set():
            await self.tell()
            try:
                async with asyncio.timeout(_LOOK_S):
                    await stop.wait()
            except TimeoutError:
                pass
        await self.tell()

    async def tell(self) -> None:
        """Save what changed; where there is room, write one record for each gap."""
        if self._open and not self._spool.is_full:
            self._closed += self._open.values()
            self._open.clear()
        await self._save()
        # What is told before it is saved might be told otherwise after a crash: two records with one id.
        if self._is_saved and self._closed and not self._spool.is_full:
            try:
                self._spool.append([record_of(gap) for gap in self._closed])
            except Overloaded:
                return
            self._closed, self._is_saved = [], False
            await self._save()

    async def _save(self) -> None:
        if self._is_saved:
            return
        data = orjson.dumps([asdict(gap) for gap in self.open])
        self._is_saved = True  # what is counted meanwhile makes it false again
        try:
            await asyncio.to_thread(write_atomically, self._path, data)
        except OSError as error:
            self._is_saved = False
            log.warning("the count of unrecorded predictions cannot be written: %r", error)


def record_of(gap: Gap) -> Outgoing:
    """The record of a gap: the same bytes however often it is told."""
    message = PredictionsUnrecorded(
        context=PredictionContext(prediction_id=gap.gap_id, tenant=gap.tenant, model=gap.model),
        answered=gap.answered,
        failed=gap.failed,
        first_at=timestamp(gap.first_s),
        last_at=timestamp(gap.last_s),
    )
    time = datetime.fromtimestamp(gap.last_s, UTC).isoformat()
    headers = attributes(PredictionsUnrecorded, gap.gap_id, source=SOURCE, time=time)
    return Outgoing(
        topic=PREDICTIONS.name, key=gap.gap_id, value=message.SerializeToString(), headers=headers
    )


def _restored(path: Path) -> list[Gap]:
    try:
        return [Gap(**entry) for entry in orjson.loads(path.read_bytes())]
    except FileNotFoundError:
        return []
    except (OSError, orjson.JSONDecodeError, TypeError) as error:
        log.error("the count of unrecorded predictions cannot be read: %r", error)
        return []
