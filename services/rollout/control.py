"""All models in memory, and the one way to move them: log, routes, events and counts in one transaction."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from services.rollout import metrics
from services.rollout.domain import tally as tallies
from services.rollout.domain.log_entry import LogEntry, Version
from services.rollout.domain.position import START, Position, apply, fold
from services.rollout.domain.state_machine import State, Trigger, next_state
from services.rollout.domain.tally import WHOLE_PPM, Tally
from services.rollout.messages import outgoing_event, outgoing_routes, to_event, to_routes
from services.rollout.notice_store import write_notices
from services.rollout.notices import rows_of_entry
from services.rollout.rows import Candidate, SpecRow
from services.rollout.store import Store, Writer, end_waiting, write_candidate, write_entry, write_tally
from slipway import outbox, spec
from slipway.clock import Clock
from slipway.errors import NotFound, Unavailable
from slipway.outbox import Relay
from slipway.postgres import Connection
from slipway.v1.rollout_pb2 import RouteTable

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Model:
    """One model as its log says it is."""

    row: SpecRow
    spec: spec.Spec
    position: Position = START
    last: LogEntry | None = None
    tally: Tally = field(default_factory=Tally)
    waiting: Candidate | None = None
    profiles: dict[str, bytes] = field(default_factory=dict)
    is_stale: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.row.model


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A transition that somebody wants.

    Attributes:
        epoch_above: The new epoch is above this one too, not only above the log's last.
        candidate: What is started; recorded as started.
        drop_waiting: Why a waiting candidate is not to follow; empty: it may.
    """

    trigger: Trigger
    subject: Version
    actor: str
    reason: str
    evidence: dict[str, object] = field(default_factory=dict)
    step: int = -1
    weight_ppm: int = 0
    rollout_id: str = ""
    epoch_above: int = 0
    candidate: Candidate | None = None
    drop_waiting: str = ""


class Control:
    """Every model, for the one process that holds the lease."""

    def __init__(self, store: Store, relay: Relay, *, clock: Clock) -> None:
        self.store = store
        self.relay = relay
        self.clock = clock
        self.loaded_at_s = 0.0
        self._writer: Writer | None = None
        self._models: dict[str, Model] = {}

    @property
    def is_leading(self) -> bool:
        """Whether this process holds the lease and has read the log."""
        return self._writer is not None

    @property
    def writer(self) -> Writer:
        """The lease to write under.

        Raises:
            Unavailable: Another process leads, or this one is still reading the log.
        """
        if self._writer is None:
            raise Unavailable(
                "this rollout process is a standby, or is still starting; try again in a second"
            )
        return self._writer

    @property
    def names(self) -> list[str]:
        """All models."""
        return sorted(self._models)

    def is_live(self, name: str) -> bool:
        """Whether a rollout of the model is under way; False for an unknown model."""
        model = self._models.get(name)
        return model is not None and model.position.is_live

    async def lead(self, writer: Writer) -> None:
        """Read every log and begin to write."""
        for row in await self.store.load_specs():
            model = Model(row=row, spec=spec.parse(row.yaml))
            await self._load(model)
            self._models[row.model] = model
        self.loaded_at_s = self.clock.now_s()
        self._writer = writer

    def find(self, name: str) -> Model:
        """One model.

        Raises:
            NotFound: Names the known ones.
        """
        _ = self.writer
        model = self._models.get(name)
        if model is None:
            known = ", ".join(self.names[:20]) or "none yet: `slipway apply -f model.yaml` creates one"
            raise NotFound(f"model {name!r} is not known; known models: {known}")
        return model

    def add(self, model: Model) -> None:
        """Know a model that was just stored."""
        self._models.setdefault(model.name, model)

    @asynccontextmanager
    async def locked(self, name: str) -> AsyncIterator[Model]:
        """One model, for one writer at a time; read again if the last writer failed half-way."""
        model = self.find(name)
        async with model.lock:
            if model.is_stale:
                await self._load(model)
            model.is_stale = True
            yield model
            model.is_stale = False

    async def move(self, model: Model, move: Move, *, tally: Tally | None = None) -> None:
        """Append one transition with all that follows from it; the model must be locked.

        Raises:
            Conflict: The table knows no such move, or the log has moved on.
            Fenced: Another process holds the lease.
        """
        now_s = self.clock.now_s()
        entry = self._entry(model, move, now_s=now_s)
        position = apply(model.position, entry)
        counted = _tally_after(entry, model.tally if tally is None else tally)
        champion = position.champion.version if position.champion else ""
        event = to_event(entry, tenant=model.row.tenant, champion_version=champion)
        routes = to_routes(model.row, position, profiles=model.profiles, written_at_s=entry.at_s)
        async with self.store.writing(self.writer) as connection:
            await write_entry(connection, entry, champion_version=champion)
            await write_tally(connection, model.name, tally=counted)
            await _write_candidates(connection, model, move, now_s=now_s)
            await outbox.put(connection, [outgoing_routes(routes), outgoing_event(event)])
            await write_notices(connection, rows_of_entry(entry, event, model.spec.rollout))
        model.position, model.tally, model.last = position, counted, entry
        if move.candidate or move.drop_waiting:
            model.waiting = None
        self.relay.wake()
        _report(model, entry)

    def routes(self, model: Model) -> RouteTable:
        """The model's route table as the log says it is."""
        at_s = model.last.at_s if model.last else 0.0
        return to_routes(model.row, model.position, profiles=model.profiles, written_at_s=at_s)

    def _entry(self, model: Model, move: Move, *, now_s: float) -> LogEntry:
        position = model.position
        return LogEntry(
            model=model.name,
            seq=position.seq + 1,
            rollout_id=move.rollout_id or position.rollout_id,
            from_state=position.state,
            to_state=next_state(position.state, move.trigger),
            trigger=move.trigger,
            subject=move.subject,
            step=move.step,
            weight_ppm=move.weight_ppm,
            actor=move.actor,
            reason=move.reason,
            evidence=dict(move.evidence),
            epoch=max(position.epoch, move.epoch_above) + 1,
            fence=self.writer.fence,
            at_s=now_s,
        )

    async def _load(self, model: Model) -> None:
        entries = await self.store.load_log(model.name)
        model.position = fold(entries)
        model.last = entries[-1] if entries else None
        stored = await self.store.load_tally(model.name)
        is_own = stored is not None and stored.rollout_id == model.position.rollout_id
        model.tally = stored if stored and is_own else tallies.begin_rollout(model.position.rollout_id)
        model.waiting = await self.store.load_waiting(model.name)
        model.profiles = await self.store.load_profiles(model.name)
        model.is_stale = False
        _report_gauges(model)


def _tally_after(entry: LogEntry, tally: Tally) -> Tally:
    if entry.to_state is State.WARMING and entry.trigger is not Trigger.RECONCILE:
        return tallies.begin_rollout(entry.rollout_id)
    if entry.trigger in (Trigger.READY, Trigger.READY_FULL, Trigger.STEP_PASSED, Trigger.STEPS_PASSED):
        return tallies.begin_step(tally, entry.to_state)
    return tally


async def _write_candidates(connection: Connection, model: Model, move: Move, *, now_s: float) -> None:
    if move.drop_waiting and model.waiting:
        await end_waiting(connection, model.name, state="DROPPED", note=move.drop_waiting)
    if move.candidate:
        note = f"version {move.candidate.subject.version} was started instead"
        await end_waiting(connection, model.name, state="SUPERSEDED", note=note)
        await write_candidate(connection, move.candidate, state="STARTED", now_s=now_s)


def _report(model: Model, entry: LogEntry) -> None:
    metrics.TRANSITIONS.labels(entry.to_state, entry.trigger).inc()
    _report_gauges(model)
    log.info(
        "transition",
        extra={
            "model": entry.model,
            "seq": entry.seq,
            "from_state": entry.from_state,
            "to_state": entry.to_state,
            "trigger": entry.trigger,
            "version": entry.subject.version,
            "epoch": entry.epoch,
            "reason": entry.reason,
        },
    )


def _report_gauges(model: Model) -> None:
    position = model.position
    metrics.ROUTE_EPOCH.labels(model.name).set(position.epoch)
    metrics.LIVE.labels(model.name).set(position.is_live)
    share_ppm = position.weight_ppm if position.state is State.CANARY else 0
    metrics.CANARY_SHARE.labels(model.name).set(share_ppm / WHOLE_PPM)
    report_evidence(model)


def report_evidence(model: Model) -> None:
    """Show the evidence against the version that is rolled out."""
    is_bake = model.position.state is State.BAKE
    value = model.tally.bake_e_value if is_bake else model.tally.e_value
    metrics.E_VALUE.labels(model.name).set(value if model.position.is_live else 0)
