"""Records become watches and alarms, in one transaction with the offsets that were counted."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.query_watch import metrics
from services.query_watch.domain.watching import Others, Watch, judge, observe
from services.query_watch.messages import Key, alarm_of, cleared_of, outgoing
from services.query_watch.models import ModelBook, Watched
from services.query_watch.questions import Asked, questions_of
from services.query_watch.state_form import from_bytes, to_bytes
from services.query_watch.store import Counts, Row, WatchStore, WatchTransaction
from slipway.clock import Clock
from slipway.errors import NotFound
from slipway.ids import new_id
from slipway.outbox import Relay
from slipway.positions import Place
from slipway.v1.extraction_pb2 import ExtractionCleared, ExtractionSuspected

log = logging.getLogger(__name__)

_MOST_WEIGHT = 500.0  # new questions of one other caller that count: none of them speaks for all


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is looked at, and kept."""

    rows_per_request: int
    kept_callers: int


class WatchHandler:
    """Counts each record once, and judges each caller after a batch."""

    def __init__(
        self, store: WatchStore, models: ModelBook, relay: Relay, *, clock: Clock, limits: Limits
    ) -> None:
        self._store = store
        self._models = models
        self._relay = relay
        self._clock = clock
        self._limits = limits

    async def handle(self, batch: Sequence[Asked]) -> None:
        """Take in one batch; the alarms it leads to are published when this returns.

        Raises:
            InvalidInput: A record's tensors are not those of its model.
        """
        async with self._store.transaction() as transaction:
            positions = await transaction.positions(sorted({(a.topic, a.partition) for a in batch}))
            fresh = [a for a in batch if a.offset >= positions[a.topic, a.partition]]
            alarms = await self._watch(transaction, fresh)
            await transaction.save_positions({**positions, **_ends(fresh)})
            await transaction.publish([outgoing(alarm) for alarm in alarms])
            metrics.SUSPECTS.set(await transaction.count_suspects())
        for alarm in alarms:
            metrics.ALARMS.labels(alarm.model, alarm.signal).inc()
            log.warning("%s may be copying %s: %s", alarm.principal, alarm.model, alarm.evidence)
        if alarms:
            await self._relay.flush()

    async def clear(self, alarm_id: str, *, model: str, by: str, reason: str) -> ExtractionCleared:
        """End a suspicion.

        Raises:
            NotFound: There is no such alarm of this model, or it was cleared before.
        """
        async with self._store.transaction() as transaction:
            alarm = await transaction.clear(alarm_id, model=model)
            if alarm is None:
                raise NotFound(
                    f"no alarm {alarm_id[:80]!r} of {model!r} stands; `slipway suspects list` shows them"
                )
            cleared = cleared_of(alarm, by=by, reason=reason, now_s=self._clock.now_s())
            await transaction.publish([outgoing(cleared)])
            metrics.SUSPECTS.set(await transaction.count_suspects())
        await self._relay.flush()
        return cleared

    async def _watch(
        self, transaction: WatchTransaction, fresh: Sequence[Asked]
    ) -> list[ExtractionSuspected]:
        by_caller: dict[Key, list[Asked]] = defaultdict(list)
        for asked in fresh:
            context = asked.message.context
            by_caller[context.tenant, context.principal, context.model].append(asked)
        keys = sorted(key for key in by_caller if self._models.find(key[2]) is not None)
        for key in by_caller.keys() - set(keys):
            unread = sum(a.message.context.rows for a in by_caller[key])
            metrics.PASSED_OVER.labels("no_profile").inc(unread)
        if not keys:
            return []
        known, suspected = await transaction.load(keys), await transaction.suspected(keys)
        others = {model: await transaction.others(model) for model in sorted({key[2] for key in keys})}
        rows, alarms, now_s = dict[Key, Row](), [], self._clock.now_s()
        for key in keys:
            watch, rows[key] = self._advance(key, by_caller[key], known.get(key), others=others[key[2]])
            suspicion = None if key in suspected else judge(watch)
            if suspicion is not None:
                alarm = alarm_of(
                    key, suspicion, watch, alarm_id=new_id(), since_s=rows[key].first_s, now_s=now_s
                )
                await transaction.suspect(key, alarm)
                alarms.append(alarm)
        await transaction.save(rows)
        if len(known) < len(keys):
            await transaction.forget_oldest(most=self._limits.kept_callers)
        return alarms

    def _advance(
        self, key: Key, records: Sequence[Asked], row: Row | None, *, others: Mapping[Key, Counts]
    ) -> tuple[Watch, Row]:
        watched = self._models.find(key[2])
        assert watched is not None
        watch = from_bytes(row.state, scales_of=watched.scales_of) if row else Watch()
        beside = _others(key, others)
        for asked in records:
            watch = self._ask(watch, asked, watched=watched, others=beside)
        times = [asked.message.context.served_at.ToNanoseconds() / 1e9 for asked in records]
        return watch, Row(
            state=to_bytes(watch, scales_of=watched.scales_of),
            counts={kind: [share.asked, share.found] for kind, share in watch.shares.items()},
            first_s=row.first_s if row else min(times),
            last_s=max(times) if row is None else max(row.last_s, *times),
        )

    def _ask(self, watch: Watch, asked: Asked, *, watched: Watched, others: Others) -> Watch:
        questions = questions_of(asked.message, watched, most=self._limits.rows_per_request)
        metrics.ROWS.labels(asked.message.context.model).inc(len(questions))
        metrics.PASSED_OVER.labels("thinned").inc(max(0, asked.message.context.rows - len(questions)))
        for question in questions:
            watch = observe(watch, question, radius=watched.scales.radius, others=others)
        return watch


def _others(key: Key, all_counts: Mapping[Key, Counts]) -> Others:
    """What the model's other callers do together; none weighs more than some hundred questions."""
    asked: dict[str, float] = defaultdict(float)
    found: dict[str, float] = defaultdict(float)
    for other, counts in all_counts.items():
        if other != key:
            for kind, (count, hits) in counts.items():
                weight = min(1.0, _MOST_WEIGHT / count) if count else 0.0
                asked[kind] += weight * count
                found[kind] += weight * hits
    return Others(asked=asked, found=found)


def _ends(records: Iterable[Asked]) -> dict[Place, int]:
    ends: dict[Place, int] = {}
    for asked in records:
        place = asked.topic, asked.partition
        ends[place] = max(ends.get(place, 0), asked.offset + 1)
    return ends
