"""What time and limits do to feedback, on the real PostgreSQL, with the clock set by hand."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from services.feedback.app import MIGRATIONS
from services.feedback.domain.label import LabelRules
from services.feedback.handlers import Joiner
from services.feedback.housekeeping import Housekeeper
from services.feedback.records import Record, read_record
from services.feedback.settings import Settings
from services.feedback.store.housekeeping import HousekeepingStore
from services.feedback.store.joins import JoinStore
from services.feedback.store.summaries import Summary, SummaryStore
from slipway import postgres, tokens
from slipway.clock import ManualClock
from slipway.envelope import Event
from slipway.outbox import Relay
from slipway.v1.feedback_pb2 import FeedbackReceived
from tests.feedback.bench import ANNA, served
from tests.kafka_source import source_of
from tests.service_process import own_database

pytestmark = pytest.mark.integration

SECRET = b"secret"
DAY_S = 24 * 3600.0
START_S = 1_700_000_000.0


class SilentRelay:
    """Leaves what is in the outbox where it is."""

    async def flush(self) -> None:
        return


@dataclass(kw_only=True)
class Room:
    """The service without its edges."""

    joiner: Joiner
    housekeeper: Housekeeper
    summaries: SummaryStore
    clock: ManualClock
    pool: Any
    offset: int = 0

    def record(self, **more: Any) -> Record:
        self.offset += 1
        message = served("m", at_s=self.clock.now_s(), **more)
        record = read_record(source_of("predictions", message, offset=self.offset))
        assert record is not None
        return record

    def again(self, record: Record) -> Record:
        """A second physical record of the same prediction."""
        self.offset += 1
        return replace(record, offset=self.offset)

    def label(self, prediction_id: str, text: str = "1", **more: Any) -> Event:
        token = tokens.issue(SECRET, subject=prediction_id, owner=ANNA)
        message = FeedbackReceived(prediction_id=prediction_id, feedback_token=token, label=text, **more)
        self.offset += 1
        return Event(topic="feedback", key="", message=message, event_id="", partition=0, offset=self.offset)

    async def tidy(self, **limits: Any) -> Summary:
        keeper = replace(self.housekeeper, settings=replace(self.housekeeper.settings, **limits))
        await keeper.tidy(self.clock.now_s())
        return await self.summaries.summarize("")

    async def count(self, table: str) -> int:
        return int(await self.pool.fetchval(f"SELECT count(*) FROM {table}"))


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    with own_database("feedback") as it:
        yield it


@pytest.fixture
async def room(dsn: str, tmp_path: Path) -> AsyncIterator[Room]:
    settings = Settings(
        kafka_bootstrap="",
        state_dir=tmp_path,
        secrets_dir=tmp_path,
        grpc_port=1,
        http_port=1,
        postgres_dsn=dsn,
    )
    async with postgres.pool(dsn, migrations=MIGRATIONS) as pool:
        await pool.execute(
            "TRUNCATE predictions, prediction_doubles, prediction_rows, feedback_events, feedback_signals, "
            "parked, quarantine, outbox, row_counts"
        )
        clock = ManualClock(START_S)
        rules = {"m": LabelRules(classes=("0", "1"), expire_after_s=10 * DAY_S, accept_is_label=False)}
        joiner = Joiner(
            store=JoinStore(pool),
            relay=cast(Relay, SilentRelay()),
            rules=rules,
            secret=SECRET,
            settings=settings,
            clock=clock,
        )
        # Batches of two, so that every loop over batches goes round more than once.
        tidy = HousekeepingStore(pool, batch_rows=2)
        yield Room(
            joiner=joiner,
            housekeeper=Housekeeper(store=tidy, settings=settings, clock=clock),
            summaries=SummaryStore(pool),
            clock=clock,
            pool=pool,
        )


class Torn(dict[str, LabelRules]):
    """Fails at the last step of a batch, when its events are written."""

    def __getitem__(self, model: str) -> LabelRules:
        raise ConnectionResetError(model)


async def test_rows_expire_at_their_horizon_and_not_before(room: Room) -> None:
    await room.joiner.handle([room.record(rows=5)])
    room.clock.advance(10 * DAY_S - 1)
    assert (await room.tidy()).rows_by_state == {"PENDING": 5}
    room.clock.advance(1)
    assert (await room.tidy()).rows_by_state == {"EXPIRED": 5}


async def test_records_go_after_their_retention_with_all_that_hangs_on_them(room: Room) -> None:
    records = [room.record() for _ in range(5)]
    await room.joiner.handle([*records, *(room.label(r.prediction_id) for r in records)])
    await room.joiner.handle([room.again(records[0])])
    room.clock.advance(30 * DAY_S - 1)
    kept = await room.tidy()
    assert (kept.predictions, kept.prediction_doubles, kept.rows_by_state) == (5, 1, {"MATCHED": 5})
    room.clock.advance(2)
    gone = await room.tidy()
    assert (gone.predictions, gone.prediction_doubles, gone.rows_by_state) == (0, 0, {})
    assert await room.count("feedback_events") == 0


async def test_beyond_the_caps_the_oldest_go(room: Room) -> None:
    records = [room.record() for _ in range(7)]
    await room.joiner.handle([*records, *(room.label(r.prediction_id) for r in records)])
    await room.joiner.handle([room.label(r.prediction_id, "7") for r in records])
    room.clock.advance(1)
    newest = room.record()
    await room.joiner.handle([newest, room.label(newest.prediction_id, "7")])
    summary = await room.tidy(max_predictions=3, max_feedback_events=4, max_quarantined=5)
    assert (summary.predictions, summary.rows_by_state) == (3, {"MATCHED": 2, "PENDING": 1})
    assert summary.quarantined_by_reason == {"unknown_class": 5}
    assert await room.count("feedback_events") == 4
    ids = [
        r["prediction_id"] for r in await room.pool.fetch("SELECT prediction_id FROM predictions ORDER BY 1")
    ]
    assert ids == sorted(r.prediction_id for r in [*records[5:], newest])


async def test_what_is_parked_waits_its_time_and_then_goes_to_the_quarantine(room: Room) -> None:
    await room.joiner.handle([room.label("a"), room.label("b", model="m"), room.label("c", model="unheard")])
    room.clock.advance(7 * DAY_S)
    summary = await room.tidy()
    assert (summary.parked, summary.quarantined_by_reason) == (1, {"unknown_prediction": 2})
    room.clock.advance(3 * DAY_S)
    assert (await room.tidy()).quarantined_by_reason == {"unknown_prediction": 3}
    row = await room.pool.fetchrow("SELECT payload FROM quarantine WHERE model = 'm'")
    assert 'prediction_id: "b"' in row["payload"]


async def test_a_batch_read_again_changes_nothing(room: Room) -> None:
    record, early = room.record(rows=2), room.record()
    batch: list[Record | Event] = [
        record,
        room.again(record),
        room.label(record.prediction_id),
        room.label(record.prediction_id, "0", row=1),
        room.label(record.prediction_id, "7"),
        room.label(early.prediction_id),
    ]
    await room.joiner.handle(batch)
    once, published = await room.summaries.summarize("m"), await room.count("outbox")
    assert (once.prediction_doubles, once.parked, published) == (1, 1, 2)
    await room.joiner.handle(batch)
    assert await room.summaries.summarize("m") == once
    assert await room.count("outbox") == published
    await room.joiner.handle([early])
    await room.joiner.handle([*batch, early])
    assert await room.count("outbox") == published + 1
    assert (await room.summaries.summarize("m")).parked == 0


async def test_a_batch_that_fails_leaves_no_trace(room: Room) -> None:
    record = room.record()
    broken = replace(room.joiner, rules=Torn(room.joiner.rules))
    with pytest.raises(ConnectionResetError):
        await broken.handle([record, room.label(record.prediction_id)])
    assert (await room.summaries.summarize("")).predictions == 0
