"""How the gateway's spools are put together: records, feedback and jobs on disk, on their way to Kafka."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from services.gateway.gaps import FILE as GAPS_FILE
from services.gateway.gaps import Gaps
from services.gateway.record_status import add_record_status
from services.gateway.recording import Recording
from services.gateway.settings import Settings
from services.gateway.shipper import Shipper, keep_measured
from services.gateway.spool import Spool
from slipway.clock import SystemClock
from slipway.process import Process


async def open_spool(
    process: Process, settings: Settings, *, name: str, limit_bytes: int
) -> tuple[Spool, Shipper]:
    """A spool and what ships it to Kafka."""
    spool = await process.enter(
        _opened(settings.state_dir / name, limit_bytes=limit_bytes, segment_bytes=settings.segment_bytes)
    )
    shipper = Shipper(spool, settings.kafka_bootstrap)
    process.spawn(f"shipper of {name}", shipper.run)
    process.spawn(f"gauges of {name}", partial(keep_measured, spool))
    return spool, shipper


def keep_records(process: Process, settings: Settings, *, segments: Spool, shipper: Shipper) -> Recording:
    """What keeps the records of answers, and tells how they stand."""
    clock = SystemClock()
    gaps = Gaps(settings.state_dir / GAPS_FILE, segments, clock=clock)
    recording = Recording(segments, gaps, debtor=shipper, clock=clock)
    process.spawn("gaps in the records", gaps.run)
    process.spawn("group commit", recording.commit.run)
    add_record_status(process.app, segments, gaps=gaps, debtor=shipper)
    return recording


@asynccontextmanager
async def _opened(folder: Path, *, limit_bytes: int, segment_bytes: int) -> AsyncIterator[Spool]:
    spool = Spool(folder, limit_bytes=limit_bytes, segment_bytes=segment_bytes)
    try:
        yield spool
    finally:
        spool.close()
