import asyncio
import errno
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from services.gateway import recording as recording_module
from services.gateway import records
from services.gateway.domain.checks import InputTensor, check_inputs
from services.gateway.domain.coding import coder_of
from services.gateway.domain.contract import Contract, contract_of
from services.gateway.domain.routing import Arm
from services.gateway.gaps import Gaps
from services.gateway.record_form import RecordForm
from services.gateway.recording import Recording
from services.gateway.records import Prediction
from services.gateway.segments import sync
from services.gateway.spool import Spool
from slipway import envelope
from slipway.clock import ManualClock
from slipway.errors import Overloaded, Unavailable
from slipway.identity.caller import Caller
from slipway.ids import new_id
from slipway.policy.engine import UNDECIDED
from slipway.spec import parse
from slipway.v1.predictions_pb2 import (
    PredictionFailed,
    PredictionServed,
    PredictionsUnrecorded,
    PredictionWithheld,
)

ARM = Arm(version="3", digest="d" * 64, upstream="inference", role="champion", weight_ppm=1_000_000)
LONG_S = 30.0


def contract(serving: str) -> Contract:
    return contract_of(
        parse(
            'name: m\ntask: binary\nfeatures: [{name: a}]\nlabel: {name: y, classes: ["0", "1"]}\n'
            f"serving: {{{serving}}}\n"
        )
    )


@dataclass(kw_only=True)
class World:
    """A spool with its recording, and a Kafka that takes what it is told to take."""

    spool: Spool
    gaps: Gaps
    it: Recording
    clock: ManualClock
    owed_since_s: float = 0.0

    def owed_s(self) -> float:
        return self.owed_since_s

    def ship(self) -> list[envelope.Event]:
        """Everything that waits, as Kafka gets it."""
        found = []
        while True:
            messages, position = self.spool.read()
            found += [
                envelope.decode(m.topic, key=m.key.encode(), value=m.value, headers=m.headers)
                for m in messages
            ]
            if not messages:
                return found
            self.spool.advance(position)

    def keep(self, serving: str) -> Prediction:
        """The record of one answer."""
        about = prediction(contract(serving))
        outputs = (b"\x01\0\0\x001", np.full((1, 2), 0.5, dtype="<f4").tobytes())
        now_s = self.clock.now_s()
        self.it.keep(about, records.served(about, outputs, now_s=now_s, latency_s=0.1))
        return about

    async def settle(self, about: Prediction, *, within_s: float = LONG_S) -> None:
        now_s = self.clock.monotonic_s()
        await self.it.settle(about, start_s=now_s, deadline_s=now_s + within_s)


def prediction(of: Contract) -> Prediction:
    sent = [InputTensor(name="features", datatype="FP32", shape=(1, 1), raw=b"\0\0\0\0")]
    return Prediction(
        prediction_id=new_id(),
        caller=Caller(principal="anna", tenant="t", roles=("app",), method="api_key", credential_id="k"),
        decision=UNDECIDED,
        arm=ARM,
        form=RecordForm(of, ARM, epoch=7, coder=coder_of(of, [])),
        contract=of,
        route_epoch=7,
        unit="",
        business_key="",
        request_id="",
        checked=check_inputs(of, sent),
        protocol="grpc",
    )


def world(folder: Path, *, limit_bytes: int = 1_000_000) -> World:
    clock = ManualClock()
    spool = Spool(
        folder / "segments", limit_bytes=limit_bytes, segment_bytes=2_000, monotonic_s=clock.monotonic_s
    )
    gaps = Gaps(folder / "unrecorded.json", spool, clock=clock)
    made = World(spool=spool, gaps=gaps, it=None, clock=clock)  # type: ignore[arg-type]
    made.it = Recording(spool, gaps, debtor=made, clock=clock)
    return made


@asynccontextmanager
async def committing(it: World) -> AsyncIterator[None]:
    stop = asyncio.Event()
    running = asyncio.create_task(it.it.commit.run(stop))
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(LONG_S):
            await running


@dataclass
class Disk:
    """Counts syncs; each waits until it is let go."""

    free: asyncio.Event
    loop: asyncio.AbstractEventLoop
    synced: list[list[Path]]
    error: OSError | None = None

    def sync(self, paths: Iterable[Path]) -> None:
        self.synced.append(list(paths))
        asyncio.run_coroutine_threadsafe(self._let_go(), self.loop).result(LONG_S)
        if self.error is not None:
            raise self.error
        sync(self.synced[-1])

    async def _let_go(self) -> None:
        await self.free.wait()


@pytest.fixture
async def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    it = Disk(asyncio.Event(), asyncio.get_running_loop(), [])
    monkeypatch.setattr(recording_module, "sync", it.sync)
    return it


async def test_one_fsync_covers_all_who_wait(tmp_path: Path, disk: Disk) -> None:
    it = world(tmp_path)
    async with committing(it):
        first = asyncio.create_task(it.settle(it.keep("recording: fsync")))
        while not disk.synced:
            await asyncio.sleep(0)
        others = [asyncio.create_task(it.settle(it.keep("recording: fsync"))) for _ in range(50)]
        await asyncio.sleep(0)
        assert not first.done()
        disk.free.set()
        async with asyncio.timeout(LONG_S):
            await asyncio.gather(first, *others)
    assert len(disk.synced) == 2
    # The second covers every file that the fifty were written to, and the folder that names them.
    assert set((tmp_path / "segments").glob("*.segment")) <= set(disk.synced[1])
    assert tmp_path / "segments" in disk.synced[1]


async def test_a_standard_record_asks_for_no_fsync(tmp_path: Path, disk: Disk) -> None:
    it = world(tmp_path)
    async with committing(it):
        it.keep("recording: standard")
        await asyncio.sleep(0)
    assert not disk.synced


async def test_a_disk_that_does_not_confirm_is_not_believed_again(tmp_path: Path, disk: Disk) -> None:
    it = world(tmp_path)
    disk.free.set()
    disk.error = OSError(errno.EIO, "lost")
    async with committing(it):
        about, before = it.keep("recording: fsync"), it.spool.end.segment
        with pytest.raises(Unavailable, match="does not confirm"):
            await it.settle(about)
        disk.error = None
        assert it.spool.end.segment > before
        await it.settle(it.keep("recording: fsync"))
    served, withheld, _ = it.ship()
    assert isinstance(withheld.message, PredictionWithheld)
    assert withheld.event_id == f"{served.event_id}/withheld"


async def test_an_answer_waits_until_kafka_has_its_record(tmp_path: Path) -> None:
    it = world(tmp_path)
    waiting = asyncio.create_task(it.settle(it.keep("recording: broker")))
    await asyncio.sleep(0)
    assert not waiting.done()
    [event] = it.ship()
    assert isinstance(event.message, PredictionServed)
    async with asyncio.timeout(LONG_S):
        await waiting


async def test_an_answer_that_is_not_safe_in_time_is_withheld_and_the_records_say_so(tmp_path: Path) -> None:
    it = world(tmp_path)
    about = it.keep("recording: broker")
    with pytest.raises(Unavailable, match="not safe in time") as refusal:
        await it.settle(about, within_s=0.0)
    assert refusal.value.retry_after_s == 1.0
    served, withheld = it.ship()
    assert (served.key, withheld.key) == (about.prediction_id, about.prediction_id)
    assert isinstance(withheld.message, PredictionWithheld)
    assert withheld.message.code == "UNAVAILABLE"
    assert withheld.message.context.prediction_id == about.prediction_id


async def test_who_leaves_while_his_record_is_not_safe_has_no_answer(tmp_path: Path) -> None:
    it = world(tmp_path)
    waiting = asyncio.create_task(it.settle(it.keep("recording: broker")))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    _, withheld = it.ship()
    assert withheld.message.code == "CANCELLED"


def test_what_would_wait_in_vain_for_kafka_is_refused_at_once(tmp_path: Path) -> None:
    it = world(tmp_path)
    strict, standard = contract("recording: broker, timeout_ms: 500"), contract("timeout_ms: 500")
    it.owed_since_s = 0.4
    it.it.check_safety(strict)
    it.owed_since_s = 0.6
    with pytest.raises(Unavailable, match="Kafka is away"):
        it.it.check_safety(strict)
    it.it.check_safety(standard)
    it.it.check_safety(contract("recording: fsync, timeout_ms: 500"))


def fill(it: World) -> int:
    count = 0
    while not it.spool.is_full:
        it.keep("")
        count += 1
    return count


async def test_full_records_refuse_or_are_counted_as_the_spec_says(tmp_path: Path) -> None:
    it = world(tmp_path, limit_bytes=5_000)
    kept = fill(it)
    refusing, counting = contract(""), contract("when_records_full: count")
    with pytest.raises(Overloaded, match="fill the disk space") as refusal:
        it.it.check_room(refusing)
    assert refusal.value.retry_after_s == 5.0
    it.it.check_room(counting)
    size = it.spool.backlog_bytes
    abouts = [it.keep("when_records_full: count") for _ in range(7)]
    it.it.keep_failure(abouts[0], b"never written")
    assert not any(about.is_recorded for about in abouts)
    assert it.spool.backlog_bytes == size
    await it.gaps.tell()
    assert len(it.ship()) == kept  # no room yet: the gap is not told
    it.clock.advance(60)
    await it.gaps.tell()
    [told] = it.ship()
    assert isinstance(told.message, PredictionsUnrecorded)
    assert (told.message.answered, told.message.failed) == (7, 1)
    assert (told.message.context.tenant, told.message.context.model) == ("t", "m")
    await it.gaps.tell()
    assert it.ship() == []


async def test_a_gap_outlives_the_process_and_is_told_in_the_same_words(tmp_path: Path) -> None:
    it = world(tmp_path, limit_bytes=5_000)
    fill(it)
    it.keep("when_records_full: count")
    await it.gaps.tell()
    again = world(tmp_path)
    saved = (tmp_path / "unrecorded.json").read_bytes()
    await again.gaps.tell()
    (tmp_path / "unrecorded.json").write_bytes(saved)  # as if it had been killed before it knew
    await world(tmp_path).gaps.tell()
    told = [e for e in world(tmp_path).ship() if isinstance(e.message, PredictionsUnrecorded)]
    assert len(told) == 2
    assert told[0] == told[1]


async def test_a_spoiled_count_of_gaps_is_left(tmp_path: Path) -> None:
    (tmp_path / "unrecorded.json").write_text('[{"gap": 1}]')
    assert world(tmp_path).gaps.open == ()


async def test_a_gap_that_cannot_be_saved_is_not_told(tmp_path: Path) -> None:
    it = world(tmp_path, limit_bytes=5_000)
    fill(it)
    it.keep("when_records_full: count")
    it.ship()
    (tmp_path / "unrecorded.new").mkdir()  # where the file would be written first
    await it.gaps.tell()
    assert it.ship() == []
    (tmp_path / "unrecorded.new").rmdir()
    await it.gaps.tell()
    [told] = it.ship()
    assert told.message.answered == 1


def test_a_disk_that_takes_nothing_refuses_or_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    it = world(tmp_path)

    def refuse(_fd: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("services.gateway.spool.os.write", refuse)
    with pytest.raises(Overloaded, match="No space left"):
        it.keep("")
    it.clock.advance(1)
    assert not it.keep("when_records_full: count").is_recorded
    it.clock.advance(1)
    it.it.keep_failure(prediction(contract("")), b"lost")
    [gap] = it.gaps.open
    assert (gap.answered, gap.failed) == (1, 1)
    monkeypatch.undo()
    it.clock.advance(1)
    assert it.keep("").is_recorded


def test_a_failure_has_its_record_where_there_is_room(tmp_path: Path) -> None:
    it = world(tmp_path)
    about = prediction(contract(""))
    it.it.keep_failure(about, records.failed(about, code="INTERNAL", message="no", now_s=1.0, latency_s=0.1))
    [event] = it.ship()
    assert isinstance(event.message, PredictionFailed)


async def test_a_withheld_answer_that_cannot_be_noted_is_withheld_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = world(tmp_path)
    about = it.keep("recording: broker")

    def refuse(_fd: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("services.gateway.spool.os.write", refuse)
    with pytest.raises(Unavailable):
        await it.settle(about, within_s=0.0)
