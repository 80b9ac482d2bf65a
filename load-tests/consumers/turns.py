"""A turn: one service as its own process reads the whole topic, alone."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient
from before import ROOT, CannotRun, Site, create_database
from meter import Meter, Reading, Span, messages_in, span

from slipway.kafka_access import client_options
from slipway.stack.environment import service_environment

_LOOK_S: Final = 0.1
_STOP_S: Final = 30.0
_TAIL_CHARACTERS: Final = 1500
PREPARED: Final = "prepared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One service in one situation.

    Attributes:
        like: The database it begins with.
        group_variable: Names its consumer group.
        group_suffix: What it adds to that name.
        settings: What it is told beside the usual.
        counted: SQL for how many predictions it has taken in; empty where it has no database.
    """

    name: str
    title: str
    service: str
    like: str = "template1"
    group_variable: str = "SLIPWAY_CONSUMER_GROUP"
    group_suffix: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    counted: str = ""


_TALLIED: Final = """
    SELECT coalesce(sum((counts->'canary'->>'requests')::int + (counts->'champion'->>'requests')::int), 0)
    FROM tallies
"""
CONTESTANTS: Final = (
    Contestant(
        name="feedback",
        title="feedback",
        service="feedback",
        counted="SELECT count(*) FROM predictions",
    ),
    Contestant(
        name="feedback_full",
        title="feedback, its store at the cap: for each prediction an old one goes",
        service="feedback",
        settings=(("SLIPWAY_MAX_PREDICTIONS", "10000"), ("SLIPWAY_HOUSEKEEPING_EVERY_S", "1")),
    ),
    Contestant(
        name="rollout",
        title="rollout, a canary of every model under way",
        service="rollout",
        like=PREPARED,
        group_suffix=".predictions",
        counted=_TALLIED,
    ),
    Contestant(
        name="rollout_idle",
        title="rollout, nothing under way",
        service="rollout",
        group_suffix=".predictions",
    ),
    Contestant(
        name="drift_detection",
        title="drift_detection",
        service="drift_detection",
        group_variable="SLIPWAY_DRIFT_APP_ID",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiler:
    """py-spy, which looks at the service from outside."""

    program: Path
    folder: Path


async def play(
    site: Site, contestant: Contestant, *, turn: int, profiler: Profiler | None, say: Callable[[str], None]
) -> Span:
    """Start the service on an empty store and let it read until it has caught up.

    Raises:
        CannotRun: It ended, or has not taken in what it has read.
    """
    group = f"load.{contestant.name}.{turn}"
    dsn = await create_database(site, f"load_{contestant.name}", like=contestant.like)
    state = site.home / "load" / group
    state.mkdir(parents=True)
    environment = {
        **service_environment(contestant.service),
        **dict(contestant.settings),
        contestant.group_variable: group,
        "SLIPWAY_POSTGRES_DSN": dsn,
        "SLIPWAY_STATE_DIR": str(state),
    }
    total = await messages_in(site.bootstrap, "predictions")
    log = site.home / "logs" / f"load-{contestant.name}-{turn}.log"
    admin = AIOKafkaAdminClient(**client_options(site.bootstrap))
    await admin.start()
    try:
        with _running(contestant.service, environment, log=log) as service, _profiled(profiler, service, log):
            meter = Meter(
                site, admin, pid=service.pid, group=group + contestant.group_suffix, topic="predictions"
            )
            readings = await _until_caught_up(meter, service, total=total, log=log, say=say)
    finally:
        await admin.close()
    await _check_counted(dsn, contestant, total=total)
    return span(readings)


async def _until_caught_up(
    meter: Meter, service: "subprocess.Popen[bytes]", *, total: int, log: Path, say: Callable[[str], None]
) -> list[Reading]:
    readings: list[Reading] = []
    while not readings or readings[-1].committed < total:
        await asyncio.sleep(_LOOK_S)
        if service.poll() is not None:
            raise CannotRun(f"it ended with code {service.returncode}: {_tail(log)}")
        reading = await meter.read()
        if reading.committed:
            readings.append(reading)
        if reading.committed < total:
            say(f"  {reading.committed:,} of {total:,} predictions read")
    if len(readings) < 2 or readings[0].committed == total:
        raise CannotRun("it was over before it could be measured: give more --predictions")
    return readings


async def _check_counted(dsn: str, contestant: Contestant, *, total: int) -> None:
    """Speed is worth nothing without the effect."""
    if not contestant.counted:
        return
    connection = await asyncpg.connect(dsn, timeout=10, ssl=False)
    try:
        counted = await connection.fetchval(contestant.counted, timeout=120)
    finally:
        await connection.close()
    if counted != total:
        raise CannotRun(f"{contestant.name} has counted {counted:,} of {total:,} predictions")


@contextmanager
def _running(service: str, environment: dict[str, str], *, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", f"services.{service}"],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_STOP_S)
        if process.poll() is None:
            process.kill()
            process.wait()


@contextmanager
def _profiled(profiler: Profiler | None, service: "subprocess.Popen[bytes]", log: Path) -> Iterator[None]:
    if profiler is None:
        yield
        return
    profiler.folder.mkdir(parents=True, exist_ok=True)
    target = profiler.folder / f"{log.stem}.raw"
    time.sleep(2)  # imports are over
    words = [
        str(profiler.program),
        "record",
        "-p",
        str(service.pid),
        "-f",
        "raw",
        "-r",
        "200",
        "-o",
        str(target),
    ]
    spy = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        spy.send_signal(2)
        spy.wait(timeout=_STOP_S)


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-_TAIL_CHARACTERS:]
