"""Takes models along their walks through the state machine, each by what an operator or gateways would do."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import grpc.aio
import orjson

from services.rollout.domain.log_entry import LogEntry
from services.rollout.domain.position import Position, fold
from services.rollout.domain.route_table import routes_of
from services.rollout.domain.state_machine import State, Trigger
from services.rollout.rows import entry_of
from slipway.v1.rollout_pb2 import RolloutCommand, RouteTable
from tests.rollout.bench import Bench
from tests.rollout.walks import KIND_OF, VERBS, Stop, Walk, rollouts_of
from tests.service_process import until

HASTE_S: Final = 3.0  # a deadline that is meant to pass; any other is far away
SIGNER: Final = "lead"  # the role that approves
SPEC: Final = """
name: {name}
task: binary
features: [{{name: a}}, {{name: b}}]
label: {{name: y, classes: ["0", "1"]}}
rollout:
  steps: [{steps}]
  bake_rows: {rows}
  warm_deadline_s: {warm_deadline_s}
  deadline_s: {deadline_s}
"""
STEP: Final = {
    "canary": "{{weight_percent: {percent}, min_rows: {rows}{more}}}",
    "shadow": "{{kind: shadow, min_rows: {rows}, max_mirrored_per_s: 1000{more}}}",
    "ab": "{{kind: ab, weight_percent: 50, min_rows: {rows}, min_samples: 20, "
    "metric: error_rate, better: lower{more}}}",
}
FEW, MANY = 4, 40  # rows of a step that is meant to pass, and of one that is not


async def read_log(it: Bench) -> list[LogEntry]:
    rows = await it.database.fetch("SELECT * FROM rollout_log WHERE model = $1 ORDER BY seq", it.model)
    return [entry_of({**row, "evidence": orjson.loads(row["evidence"])}) for row in rows]


async def count_entries(it: Bench) -> int:
    return int(await it.database.fetchval("SELECT count(*) FROM rollout_log WHERE model = $1", it.model))


async def counted(it: Bench) -> int:
    """Requests and copies in the tally of the latest rollout."""
    text = await it.database.fetchval("SELECT counts FROM tallies WHERE model = $1", it.model)
    counts = orjson.loads(text)
    return sum(int(counts[arm]["requests"]) for arm in ("canary", "champion", "shadow"))


@dataclass(kw_only=True)
class Walker:
    """One model on its walk.

    Attributes:
        ahead: What is still to come.
        taken: What stands in its log.
        version: The newest that was started.
        signer: What somebody with the role SIGNER calls with.
    """

    it: Bench
    walk: Walk
    signer: Any
    ahead: list[Stop] = field(default_factory=list)
    taken: list[Stop] = field(default_factory=list)
    version: int = 0

    def __post_init__(self) -> None:
        for stop in self.walk:
            # Its clock stands until whoever waits for the deadline is there.
            if stop.is_new and stop.trigger is Trigger.DEADLINE:
                self.ahead += [Stop(state=stop.state, trigger=t, is_new=False) for t in _CLOCK]
            self.ahead.append(stop)

    @property
    def next(self) -> Stop | None:
        """What is taken next."""
        return self.ahead[0] if self.ahead else None

    @property
    def is_at_new(self) -> bool:
        """Whether it stands before a row that no walk has taken yet, or before the clock that leads there."""
        before_deadline = [stop.trigger for stop in self.ahead[:2]] == [Trigger.RESUME, Trigger.DEADLINE]
        return bool(self.ahead) and (self.ahead[0].is_new or (before_deadline and self.ahead[1].is_new))

    async def go_on(self) -> None:
        """Up to the next row that is new, or to the end."""
        while self.ahead and not self.is_at_new:
            stop = self.ahead[0]
            await self.prepare()
            await self.cause(stop)
            await self.is_taken(stop)
            await self.stop_clock()
            await self.check()

    async def start_clock(self) -> None:
        """If it stands before a deadline: from now on it passes."""
        if self.ahead[0].trigger is Trigger.RESUME and not self.ahead[0].is_new:
            await self.cause(self.ahead[0])
            await self.is_taken(self.ahead[0])

    async def stop_clock(self) -> None:
        """If a deadline comes next: it does not pass before somebody waits for it."""
        if self.ahead and self.ahead[0].trigger is Trigger.PAUSE and not self.ahead[0].is_new:
            await self.cause(self.ahead[0])
            await self.is_taken(self.ahead[0])

    async def prepare(self) -> None:
        """The spec and the replicas that let the rollout that begins now go its way."""
        begins = {id(part[0]): part for part in rollouts_of(self.walk)}
        rollout = begins.get(id(self.ahead[0]))
        if rollout is None:
            return
        if rollout[0].trigger is Trigger.START:
            self.version += 1
            self.it.replicas.states[self.it.model, str(self.version)] = ("LOADING", "")
        else:
            former = fold(await read_log(self.it)).previous[-1]
            self.it.replicas.states[self.it.model, former.version] = ("LOADING", "")
        await self.it.apply(spec_of(self.it.model, rollout))

    async def is_taken(self, stop: Stop) -> None:
        async def check() -> bool:
            return await count_entries(self.it) > len(self.taken)

        await until(f"{stop} to be in the log", check, seen=lambda: list(map(str, self.taken)))
        self.taken.append(self.ahead.pop(0))

    async def cause(self, stop: Stop) -> None:
        if command := COMMANDS.get(stop.trigger):
            with suppress(grpc.aio.AioRpcError):
                await command(self)
        elif stop.trigger is Trigger.RECONCILE:
            await self._publish_table_ahead()
        elif stop.trigger is not Trigger.DEADLINE:
            await self._move_by_itself(stop)

    async def insist(self, stop: Stop, is_enough: asyncio.Event) -> None:
        """Give a command again when it was not answered in time, until told that it is enough."""
        await self.cause(stop)
        while stop.trigger in COMMANDS and not is_enough.is_set():
            await asyncio.sleep(0.1)
            await self.cause(stop)

    async def repeat(self, stop: Stop) -> None:
        """Whoever has given a command and got no answer gives it again; all else is still there."""
        if stop.trigger in COMMANDS:
            await asyncio.to_thread(self._wait_ready_or_dead)
            await self.cause(stop)

    def _wait_ready_or_dead(self) -> None:
        with suppress(AssertionError):
            self.it.service.wait_ready()

    async def _move_by_itself(self, stop: Stop) -> None:
        position = fold(await read_log(self.it))
        assert position.subject is not None
        version = position.subject.version
        if stop.state is State.WARMING:
            is_failed = stop.trigger is Trigger.WARM_FAILED
            state = ("FAILED", "no ONNX") if is_failed else ("READY", "")
            self.it.replicas.states[self.it.model, version] = state
        elif stop.trigger is Trigger.GUARD_FAILED:
            await self._harm(stop, version=version, epoch=position.epoch)
        else:
            await self._feed(stop, position)

    async def _harm(self, stop: Stop, *, version: str, epoch: int) -> None:
        """As few failures as are enough; what is read in another topic after the end would not count."""
        if stop.state is State.SHADOW:
            await self.it.copies(5, version=version, epoch=epoch, code="INTERNAL")
        else:
            failures = 3 if stop.state is State.BAKE else 5
            await self.it.fail(failures, version=version, epoch=epoch)

    async def _feed(self, stop: Stop, position: Position) -> None:
        """Requests for both arms, so that the step is passed; or not, where no version is to win."""
        serving = [arm.version.version for arm in routes_of(position).arms if arm.weight_ppm]
        epoch = position.epoch
        if stop.state is State.SHADOW:
            assert position.subject is not None
            await self.it.copies(FEW, version=position.subject.version, epoch=epoch)
        elif stop.state is State.AB:
            worse = 0 if stop.trigger is Trigger.NO_WINNER else 18
            await self.it.fail(worse, version=serving[-1], epoch=epoch)
            await self.it.serve(20 - worse, version=serving[-1], epoch=epoch)
            await self.it.serve(20, version=serving[0], epoch=epoch)
        else:
            await self.it.serve(FEW // 2, version=serving[0], epoch=epoch)
            await self.it.serve(FEW - FEW // 2, version=serving[-1], epoch=epoch)

    async def _publish_table_ahead(self) -> None:
        """A table that no log has led to is found at the next start."""
        epoch = (await read_log(self.it))[-1].epoch + 1000
        await self.it.put_routes(RouteTable(model=self.it.model, epoch=epoch))
        self.it.service.kill()
        self.it.service.start()

    async def start(self) -> None:
        await self.it.start(str(self.version))

    async def check(self) -> None:
        """One legal log as planned, its routes on Kafka, each record counted once."""
        entries = await read_log(self.it)
        assert [(e.from_state, e.trigger) for e in entries] == [(s.state, s.trigger) for s in self.taken]
        assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
        assert [entry.fence for entry in entries] == sorted(entry.fence for entry in entries)
        position = fold(entries)  # raises where an entry does not follow
        assert arms_of_log(position) == arms_of_table(await self.it.published(position.epoch))
        await self._check_counts(entries)

    async def _check_counts(self, entries: list[LogEntry]) -> None:
        if entries[-1].trigger in (Trigger.START, Trigger.RESTORE):
            self.it.recorded = 0
        recorded = self.it.recorded

        async def check() -> bool:
            found = await counted(self.it)
            assert found <= recorded, f"{found} counted, {recorded} recorded"
            return found == recorded

        await until(f"{recorded} records to be counted", check)

    async def finish(self) -> None:
        """Every transition was told, once each but for copies; then the model rests."""

        async def told() -> bool:
            await self.it.collect()
            return {event.seq for event in self.it.events} == set(range(1, len(self.taken) + 1))

        await until("every event on Kafka", told, seen=lambda: sorted(e.seq for e in self.it.events))
        by_seq = {event.seq: event.trigger for event in self.it.events}
        assert [by_seq[seq] for seq in sorted(by_seq)] == [stop.trigger for stop in self.taken]
        await self.it.abort()


def spec_of(model: str, rollout: Walk) -> str:
    """A spec that lets a rollout go its way: with the steps it enters, and deadlines that it can wait for."""
    triggers = [stop.trigger for stop in rollout]
    rows = MANY if Trigger.GUARD_FAILED in triggers else FEW
    steps = [
        STEP[kind].format(percent=50 + n, rows=rows, more=f", approval: {SIGNER}" if is_signed else "")
        for n, (kind, is_signed) in enumerate(_steps_of(triggers))
    ]
    if not steps and Trigger.READY_FULL not in triggers:
        steps = [STEP["canary"].format(percent=50, rows=rows, more="")]
    is_late_warm = any(s.trigger is Trigger.DEADLINE and s.state is State.WARMING for s in rollout)
    is_late = Trigger.DEADLINE in triggers and not is_late_warm
    return SPEC.format(
        name=model,
        steps=", ".join(steps),
        rows=rows,
        warm_deadline_s=HASTE_S if is_late_warm else 600,
        deadline_s=HASTE_S if is_late else 600,
    )


def _steps_of(triggers: list[Trigger]) -> list[tuple[str, bool]]:
    """Each step's kind, and whether it is signed."""
    steps: list[tuple[str, bool]] = []
    for trigger in triggers:
        if trigger in KIND_OF:
            steps.append((KIND_OF[trigger], False))
        elif trigger is Trigger.APPROVE:
            steps[-1] = (steps[-1][0], True)
    return steps


def arms_of_log(position: Position) -> list[tuple[str, str, int]]:
    return [(arm.version.version, arm.role, arm.weight_ppm) for arm in routes_of(position).arms]


def arms_of_table(table: RouteTable) -> list[tuple[str, str, int]]:
    return [(arm.version, arm.role, arm.weight_ppm) for arm in table.arms]


def say(verb: str) -> Callable[[Walker], Any]:
    """A verb as an operator gives it."""

    async def command(walker: Walker) -> None:
        it = walker.it
        method = getattr(it.stub, verb.capitalize())
        request = RolloutCommand(model=it.model, actor="anna", reason="a test")
        metadata = walker.signer if verb == Trigger.APPROVE else it.metadata
        await method(request, metadata=metadata, timeout=15, wait_for_ready=True)

    return command


COMMANDS: Final[dict[str, Callable[[Walker], Any]]] = {
    Trigger.START: Walker.start,
    Trigger.ABORT: say("abort"),
    Trigger.ROLLBACK: say("rollback"),
    Trigger.RESTORE: say("rollback"),
    **{verb: say(verb) for verb in VERBS},
}
_CLOCK: Final = (Trigger.PAUSE, Trigger.RESUME)
