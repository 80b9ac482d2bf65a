"""One batch of records and feedback: read, decide, write, in one transaction; then publish and count."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from services.feedback import metrics
from services.feedback.counting import count_batch
from services.feedback.domain.claim import Refusal
from services.feedback.domain.form import is_storable
from services.feedback.domain.identity import id_digest, key_digest
from services.feedback.domain.join import is_published
from services.feedback.domain.label import LabelRules
from services.feedback.domain.ledger import Applied, Ledger, Outcome, Parked, Prediction, RowKey
from services.feedback.items import Item, read_item, to_park, to_quarantine, unpark
from services.feedback.label_events import label_event
from services.feedback.outcome_events import outcome_event, outcome_of
from services.feedback.records import Record
from services.feedback.settings import Settings
from services.feedback.store.entries import LoadedRow, Signal
from services.feedback.store.joins import JoinStore, JoinTransaction
from slipway.clock import Clock
from slipway.envelope import Event, Outgoing
from slipway.outbox import Relay

Decided = list[tuple[Item, Outcome]]


@dataclass(frozen=True, kw_only=True)
class Joiner:
    """Joins feedback to predictions; what it has written when it returns is all it will ever do."""

    store: JoinStore
    relay: Relay
    rules: Mapping[str, LabelRules]
    secret: bytes
    settings: Settings
    clock: Clock

    async def handle(self, batch: Sequence[Record | Event]) -> None:
        """Take in one batch of records, and of events of the topic `feedback`.

        Predictions come first, so that feedback in the same batch finds them; feedback that has
        waited for them arrived earlier than the batch's own, so it is applied before.
        """
        now_s = self.clock.now_s()
        records = [record for record in batch if isinstance(record, Record)]
        items = [
            read_item(event, secret=self.secret, now_s=now_s) for event in batch if isinstance(event, Event)
        ]
        async with self.store.transaction() as transaction:
            fresh = await self._add_records(transaction, records, now_s=now_s)
            items = [*await _take_parked(transaction, fresh), *items]
            decided, loaded = await self._decide(transaction, items)
            is_news = bool(decided) and await self._write(transaction, decided, loaded=loaded, now_s=now_s)
        count_batch(decided, loaded, now_s=now_s)
        if is_news:
            await self.relay.flush()

    async def _add_records(
        self, transaction: JoinTransaction, records: Sequence[Record], *, now_s: float
    ) -> list[Record]:
        """Store what is new and note physical doubles; a second reading of a record is neither."""
        if not records:
            return []
        first = await transaction.positions([record.prediction_id for record in records])
        fresh: list[Record] = []
        doubles: list[tuple[str, int, int]] = []
        for record in records:
            prediction_id, position = record.prediction_id, (record.partition, record.offset)
            if prediction_id not in first:
                first[prediction_id] = position
                fresh.append(record)
            elif first[prediction_id] != position:
                doubles.append((prediction_id, *position))
        await transaction.add_predictions([self._with_times(r) for r in fresh], now_s=now_s)
        if doubles:
            metrics.DOUBLES.inc(await transaction.add_doubles(doubles))
        return fresh

    def _with_times(self, record: Record) -> tuple[Record, float, float]:
        """A record with when its rows expire and until when it is kept."""
        rules, served_at_s = self.rules.get(record.model), record.served_at_s
        kept_until_s = served_at_s + self.settings.retention_s
        expires_at_s = served_at_s + rules.expire_after_s if rules else kept_until_s
        return record, expires_at_s, max(expires_at_s, kept_until_s)

    async def _decide(
        self, transaction: JoinTransaction, items: Sequence[Item]
    ) -> tuple[Decided, dict[RowKey, LoadedRow]]:
        """Load what the items may touch, and let the ledger decide about each in order."""
        if not items:
            return [], {}
        predictions = await _predictions(transaction, items)
        loaded = await transaction.rows(_row_keys(items, predictions))
        ledger = Ledger(
            predictions=predictions,
            rows={key: row.stored for key, row in loaded.items()},
            rules=self.rules,
            seen=await transaction.seen([i.identity for i in items if i.identity]),
            parked=await transaction.parked_by_tenant({i.arrival.owner.tenant for i in items if i.arrival}),
            max_parked=self.settings.max_parked_per_tenant,
        )
        return [(item, _outcome(ledger, item)) for item in items], loaded

    async def _write(
        self,
        transaction: JoinTransaction,
        decided: Decided,
        *,
        loaded: Mapping[RowKey, LoadedRow],
        now_s: float,
    ) -> bool:
        """Write every outcome; returns whether there is something to publish."""
        published = [
            (i, o) for i, o in decided if isinstance(o, Applied) and o.effect and is_published(o.effect)
        ]
        parked = [
            to_park(i, subject=o.subject, wait_s=self._wait_s(i)) for i, o in decided if isinstance(o, Parked)
        ]
        refused = [to_quarantine(i, o) for i, o in decided if isinstance(o, Refusal)]
        taken = [i.identity for i, o in decided if isinstance(o, Applied | Parked) and i.identity]
        await transaction.change_rows({o.key: o.row for _, o in published}, now_s=now_s)
        await transaction.add_events(taken, now_s=now_s)
        await transaction.add_signals(_signals(decided), now_s=now_s)
        await transaction.park(parked)
        await transaction.quarantine(refused, now_s=now_s)
        await transaction.publish(
            label_event(
                o,
                loaded[o.key].context,
                classes=self.rules[o.model].classes,
                source=i.claim.source,
                observed_at_s=i.claim.observed_at_s or i.received_at_s,
                now_s=now_s,
            )
            for i, o in published
        )
        outcomes = _outcome_events(decided, loaded, now_s=now_s)
        await transaction.publish(outcomes)
        return bool(published or outcomes)

    def _wait_s(self, item: Item) -> float:
        """How long early feedback waits: the model's horizon where the sender names it."""
        rules = self.rules.get(item.claim.subject.model)
        return rules.expire_after_s if rules else self.settings.park_for_s


async def _take_parked(transaction: JoinTransaction, fresh: Sequence[Record]) -> list[Item]:
    if not fresh or not await transaction.has_parked():
        return []
    subjects = [id_digest(r.prediction_id) for r in fresh]
    subjects += [key_digest(r.model, r.business_key, r.owner) for r in fresh if r.business_key]
    return [unpark(parked) for parked in await transaction.take_parked(subjects)]


async def _predictions(transaction: JoinTransaction, items: Sequence[Item]) -> dict[bytes, Prediction]:
    """The predictions that items name, also refused ones: it tells whose trouble they are."""
    ids = {i.claim.subject.prediction_id for i in items if is_storable(i.claim.subject.prediction_id)}
    keys = {i.subject for i in items if i.subject and not i.claim.subject.prediction_id}
    return await transaction.predictions(ids - {""}, keys)


def _row_keys(items: Sequence[Item], predictions: Mapping[bytes, Prediction]) -> list[RowKey]:
    named = ((predictions.get(i.subject), i.claim.subject.row) for i in items if i.subject)
    return list({(p.prediction_id, row) for p, row in named if p})


def _outcome(ledger: Ledger, item: Item) -> Outcome:
    if item.arrival:
        return ledger.apply(item.arrival)
    assert isinstance(item.verdict, Refusal)
    known = ledger.predictions.get(id_digest(item.claim.subject.prediction_id))
    return replace(item.verdict, model=known.model) if known else item.verdict


def _outcome_events(decided: Decided, loaded: Mapping[RowKey, LoadedRow], *, now_s: float) -> list[Outgoing]:
    return [
        outcome_event(
            o.key,
            outcome,
            context=loaded[o.key].context,
            identity=i.identity,
            source=i.claim.source,
            observed_at_s=i.claim.observed_at_s or i.received_at_s,
            now_s=now_s,
        )
        for i, o in decided
        if isinstance(o, Applied) and i.identity and (outcome := outcome_of(i.claim.content))
    ]


def _signals(decided: Decided) -> list[Signal]:
    return [
        Signal(identity=i.identity, key=o.key, model=o.model, content=o.signal, source=i.claim.source)
        for i, o in decided
        if isinstance(o, Applied) and o.signal and i.identity
    ]
