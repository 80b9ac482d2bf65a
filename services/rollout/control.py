"""All models in memory, and the one way to move them: log, routes, events and counts in one transaction."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from services.rollout.candidate_sql import end_waiting, write_candidate
from services.rollout.chronicle import point_of, with_point
from services.rollout.domain import tally as tallies
from services.rollout.domain.finding import Finding
from services.rollout.domain.log_entry import LogEntry, Permission, Version
from services.rollout.domain.moment import Moment
from services.rollout.domain.policy import Policy, of_spec
from services.rollout.domain.position import START, Position, apply, fold
from services.rollout.domain.state_machine import BEGINNINGS, Trigger, next_state
from services.rollout.domain.tally import Tally
from services.rollout.domain.transition import completed, tally_after
from services.rollout.evidence_store import clear_evidence, load_evidence, write_evidence, write_point
from services.rollout.messages import outgoing_event, outgoing_routes, to_event, to_routes
from services.rollout.notice_store import write_notices
from services.rollout.notices import rows_of_entry
from services.rollout.reporting import report, report_gauges
from services.rollout.rows import Candidate, Profiles, SpecRow
from services.rollout.store import Store, Writer, write_entry
from services.rollout.unsaved import Unsaved
from slipway import outbox, spec
from slipway.clock import Clock
from slipway.errors import NotFound, Unavailable
from slipway.outbox import Relay
from slipway.policy.gate import decision_of_call
from slipway.postgres import Connection
from slipway.spec import Spec
from slipway.v1.rollout_pb2 import RouteTable


@dataclass(slots=True, kw_only=True)
class Model:
    """One model as its log says it is.

    Attributes:
        spec: The newest one.
        newest: Its policy, which the next rollout will obey.
        pinned: The policy that the live rollout began with.
    """

    row: SpecRow
    spec: Spec
    newest: Policy
    pinned: Policy | None = None
    position: Position = START
    last: LogEntry | None = None
    tally: Tally = field(default_factory=Tally)
    unsaved: Unsaved = field(default_factory=Unsaved)
    last_findings: tuple[Finding, ...] = ()
    waiting: Candidate | None = None
    profiles: dict[str, Profiles] = field(default_factory=dict)
    is_stale: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.row.model

    @property
    def policy(self) -> Policy:
        """What the live rollout obeys to its end; without one, what the next will obey."""
        return self.pinned or self.newest

    @property
    def ruling_spec(self) -> Spec:
        """The spec with the rollout section that is in force."""
        return self.spec.model_copy(update={"rollout": self.policy.rollout})


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A transition that somebody wants.

    Attributes:
        rivals: Who stays beside the subject.
        epoch_above: The new epoch is above this one too, not only above the log's last.
        candidate: What is started; recorded as started.
        drop_waiting: Why a waiting candidate is not to follow; empty: it may.
    """

    trigger: Trigger
    subject: Version
    actor: str
    reason: str
    evidence: dict[str, object] = field(default_factory=dict)
    rivals: tuple[Version, ...] = ()
    step: int = -1
    weight_ppm: int = 0
    mirror_ppm: int = 0
    max_mirrored_per_s: float = 0.0
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
            given = spec.parse(row.yaml)
            model = Model(row=row, spec=given, newest=of_spec(given))
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

    def moment(self) -> Moment:
        """Now; time before this process led is nobody's fault."""
        return Moment(now_s=self.clock.now_s(), watched_from_s=self.loaded_at_s)

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
        seen = model.tally if tally is None else tally
        point = point_of(seen, model.policy, model.position, now_s=now_s)
        is_ours = model.position.is_live
        counted = tally_after(model.position, entry, with_point(seen, point) if is_ours else seen)
        champion = position.champion.version if position.champion else ""
        event = to_event(entry, tenant=model.row.tenant, champion_version=champion)
        routes = to_routes(model.row, position, profiles=model.profiles, written_at_s=entry.at_s)
        async with self.store.writing(self.writer) as connection:
            await write_entry(connection, entry, champion_version=champion)
            if is_ours:
                await write_point(connection, model.name, tally=seen, point=point)
            await write_evidence(
                connection, model.name, before=model.tally, after=counted, unsaved=model.unsaved
            )
            if not position.is_live:
                await clear_evidence(connection, model.name)
            await _write_candidates(connection, model, move, now_s=now_s)
            await outbox.put(connection, [outgoing_routes(routes), outgoing_event(event)])
            await write_notices(connection, rows_of_entry(entry, event, model.policy.rollout))
        model.position, model.tally, model.last = position, counted, entry
        if position.is_live:
            model.unsaved.written()
            model.pinned = model.newest if entry.trigger in BEGINNINGS else model.pinned
        else:
            model.unsaved.reset()
            model.pinned = None
        if move.candidate or move.drop_waiting:
            model.waiting = None
        self.relay.wake()
        report(model.position, model.tally, entry)

    def routes(self, model: Model) -> RouteTable:
        """The model's route table as the log says it is."""
        at_s = model.last.at_s if model.last else 0.0
        return to_routes(model.row, model.position, profiles=model.profiles, written_at_s=at_s)

    def _entry(self, model: Model, move: Move, *, now_s: float) -> LogEntry:
        position = model.position
        entry = LogEntry(
            model=model.name,
            seq=position.seq + 1,
            rollout_id=move.rollout_id or position.rollout_id,
            from_state=position.state,
            to_state=next_state(position.state, move.trigger),
            trigger=move.trigger,
            subject=move.subject,
            rivals=move.rivals,
            spec_revision=model.row.revision if move.trigger in BEGINNINGS else position.spec_revision,
            step=move.step,
            weight_ppm=move.weight_ppm,
            mirror_ppm=move.mirror_ppm,
            max_mirrored_per_s=move.max_mirrored_per_s,
            actor=move.actor,
            reason=move.reason,
            evidence=dict(move.evidence),
            epoch=max(position.epoch, move.epoch_above) + 1,
            fence=self.writer.fence,
            permission=move.candidate.permission if move.candidate else permission_of_call(),
            at_s=now_s,
        )
        return completed(position, entry)

    async def _load(self, model: Model) -> None:
        entries = await self.store.load_log(model.name)
        model.position = fold(entries)
        model.last = entries[-1] if entries else None
        stored = await self.store.load_tally(model.name)
        is_own = stored is not None and stored.rollout_id == model.position.rollout_id
        counted = stored if stored and is_own else tallies.begin_rollout(model.position.rollout_id)
        model.tally, model.unsaved = await load_evidence(self.store, model.name, counted)
        model.waiting = await self.store.load_waiting(model.name)
        model.profiles = await self.store.load_profiles(model.name)
        model.pinned = await self._pinned_policy(model) if model.position.is_live else None
        model.is_stale = False
        report_gauges(model.name, model.position, model.tally)

    async def _pinned_policy(self, model: Model) -> Policy:
        revision = model.position.spec_revision
        if revision in (0, model.row.revision):  # 0: it began before revisions were written down
            return model.newest
        row = await self.store.load_spec(model.name, revision)
        return of_spec(spec.parse(row.yaml)) if row else model.newest


def permission_of_call() -> Permission:
    """What let the call in that is being answered; empty in loops, which nobody calls."""
    decision = decision_of_call()
    return Permission(decision_id=decision.decision_id, policy_hash=decision.policy_hash)


async def _write_candidates(connection: Connection, model: Model, move: Move, *, now_s: float) -> None:
    if move.drop_waiting and model.waiting:
        await end_waiting(connection, model.name, state="DROPPED", note=move.drop_waiting)
    if move.candidate:
        note = f"version {move.candidate.subject.version} was started instead"
        await end_waiting(connection, model.name, state="SUPERSEDED", note=note)
        await write_candidate(connection, move.candidate, state="STARTED", now_s=now_s)
