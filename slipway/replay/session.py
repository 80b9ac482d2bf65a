"""One replay from its first check to its report."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.live import Live

from slipway import kafka, rpc
from slipway.clock import SystemClock
from slipway.errors import InvalidInput
from slipway.replay import picture
from slipway.replay.caller import gateway_caller
from slipway.replay.control import Channels, Control, free_name
from slipway.replay.first_version import answers_of
from slipway.replay.journal import Journal
from slipway.replay.ledger import Ledger
from slipway.replay.pace import Pace
from slipway.replay.pipeline import Pipeline, settled_records
from slipway.replay.report import Report, latency_ms, score, version_history
from slipway.replay.runner import QUIET_S, Runner
from slipway.replay.stream import Stream, rename
from slipway.replay.view import View, plain_line, progress_of
from slipway.spec import parse

_TELL_EVERY_ROWS: Final = 2000
_LOOK_S: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the caller chose."""

    warmup: int
    delay: int
    pace: Pace
    pace_text: str
    plot: Path | None


@dataclass(slots=True, kw_only=True)
class Session:
    """Connections and choices of one replay."""

    options: Options
    environment: Mapping[str, str]
    console: Console
    resident_memory_mib: Callable[[], int]

    async def run(self, stream: Stream) -> Report:
        """Train version 1, send the stream, report."""
        _check(stream, self.options)
        async with AsyncExitStack() as stack:
            control = await self._connect(stack)
            stream = self._named(stream, await control.models())
            version = await self._first_version(control, stream)
            return await self._replay(stack, control, stream=stream, version=version)

    async def _connect(self, stack: AsyncExitStack) -> Control:
        names = ("gateway_admin", "rollout", "retraining", "feedback")
        channels = {
            n: await stack.enter_async_context(rpc.channel(self.environment[f"SLIPWAY_{n.upper()}_TARGET"]))
            for n in names
        }
        token = (Path(self.environment["SLIPWAY_SECRETS_DIR"]) / rpc.OPERATOR_TOKEN_FILE).read_text().strip()
        return Control(Channels(**channels), operator_token=token)

    def _named(self, stream: Stream, taken: set[str]) -> Stream:
        name = free_name(stream.spec.name, taken)
        if name == stream.spec.name:
            return stream
        self.console.print(f"model {stream.spec.name} is in service already; this replay is called {name}")
        yaml = rename(stream.yaml, name)
        return replace(stream, yaml=yaml, spec=parse(yaml))

    async def _first_version(self, control: Control, stream: Stream) -> str:
        name, rows = stream.spec.name, self.options.warmup
        await control.apply(stream)
        self.console.print(f"[bold]{name}[/bold]: training version 1 on the first {rows:,} rows")
        with self.console.status("training") as status:
            version = await control.train_first(stream, rows, tell=status.update)
            status.update(f"version {version} is being deployed")
            await control.until_serving(name, version)
        self.console.print(f"version {version} serves")
        return version

    async def _replay(
        self, stack: AsyncExitStack, control: Control, *, stream: Stream, version: str
    ) -> Report:
        bootstrap, warmup = self.environment["SLIPWAY_KAFKA_BOOTSTRAP"], self.options.warmup
        frozen = await asyncio.to_thread(
            answers_of, stream, version=version, start=warmup, url=self.environment["SLIPWAY_MLFLOW_URL"]
        )
        ledger = Ledger(
            truth=stream.labels[warmup:],
            frozen=frozen,
            warmup_truth=stream.labels[:warmup],
            delay=self.options.delay,
        )
        key_id, key = await control.create_key()
        pipeline = Pipeline(bootstrap)
        await pipeline.start()
        stack.push_async_callback(pipeline.stop)
        call = await stack.enter_async_context(
            gateway_caller(self.environment["SLIPWAY_GATEWAY_TARGET"], key=key, spec=stream.spec)
        )
        runner = Runner(
            model=stream.spec.name,
            rows=stream.features.iloc[warmup:].to_numpy().tolist(),
            ledger=ledger,
            call=call,
            producer=await stack.enter_async_context(kafka.producer(bootstrap)),
            control=control,
            pipeline=pipeline,
            clock=SystemClock(),
        )
        journal = Journal(stream.spec.name, lambda: ledger.sent)
        began_ms, began_s = int(runner.clock.now_s() * 1000), runner.clock.monotonic_s()
        await self._watched(runner, journal, bootstrap=bootstrap)
        seconds = runner.clock.monotonic_s() - began_s
        await control.revoke_key(key_id)
        return await self._report(runner, journal, began_ms=began_ms, seconds=seconds, bootstrap=bootstrap)

    async def _watched(self, runner: Runner, journal: Journal, *, bootstrap: str) -> None:
        """Run it with a live view, or with a line for each event where nobody looks at a terminal."""
        opened, stop = asyncio.Event(), asyncio.Event()
        following = asyncio.create_task(journal.follow(bootstrap, opened, stop), name="journal")
        await asyncio.wait(
            {following, asyncio.ensure_future(opened.wait())}, return_when=asyncio.FIRST_COMPLETED
        )
        try:
            if self.console.is_terminal:
                view = View(
                    ledger=runner.ledger,
                    journal=journal,
                    doing=lambda: runner.doing,
                    progress=progress_of(len(runner.rows)),
                )
                with Live(view, console=self.console, refresh_per_second=4):
                    await runner.run(self.options.pace)
            else:
                self.console.print(f"streaming {len(runner.rows):,} rows")
                printing = asyncio.create_task(self._print_events(journal, runner), name="events")
                await runner.run(self.options.pace)
                printing.cancel()
        finally:
            stop.set()
            await following

    async def _print_events(self, journal: Journal, runner: Runner) -> None:
        printed, told = 0, 0
        while True:
            for entry in journal.entries[printed:]:
                self.console.print(plain_line(entry), highlight=False, soft_wrap=True)
            printed = len(journal.entries)
            if runner.ledger.sent - told >= _TELL_EVERY_ROWS:
                told = runner.ledger.sent
                at = score(runner.ledger)
                self.console.print(
                    f"row {told:>6}  accuracy so far {at.closed_loop:.4f}, frozen {at.frozen:.4f}",
                    highlight=False,
                )
            await asyncio.sleep(_LOOK_S)

    async def _report(
        self, runner: Runner, journal: Journal, *, began_ms: int, seconds: float, bootstrap: str
    ) -> Report:
        ledger, model = runner.ledger, runner.model
        answered = [p for p in ledger.prediction_id if p]
        missing, double = await settled_records(bootstrap, "predictions", known=answered, since_ms=began_ms)
        await runner.pipeline.until_quiet(deadline_s=QUIET_S)  # those that came late are worked through, too
        if self.options.plot:
            title = f"{model}: {ledger.sent:,} rows, labels {self.options.delay} rows late"
            await asyncio.to_thread(
                picture.draw, self.options.plot, title=title, ledger=ledger, entries=journal.entries
            )
        blessed, rejected, insufficient = (journal.count(k) for k in ("blessed", "rejected", "insufficient"))
        return Report(
            model=model,
            rows=ledger.sent,
            accuracy=score(ledger),
            alarms=journal.count("alarm"),
            trainings=blessed + rejected + insufficient,
            blessed=blessed,
            rejected=rejected,
            insufficient=insufficient,
            promoted=journal.count_states("DONE"),
            rolled_back=journal.count_states("ABORTED", "ROLLED_BACK"),
            requests_failed=len(ledger.failures),
            failures=ledger.failures[:20],
            records_missing=missing,
            records_double=double,
            labels=dict((await runner.control.labels(model)).rows_by_state),
            seconds=round(seconds, 1),
            latency_p50_ms=latency_ms(ledger, 50),
            latency_p99_ms=latency_ms(ledger, 99),
            resident_memory_mib=await asyncio.to_thread(self.resident_memory_mib),
            pace=self.options.pace_text,
            versions=version_history(journal),
        )


def _check(stream: Stream, options: Options) -> None:
    if not 0 < options.warmup < len(stream):
        raise InvalidInput(
            f"--warmup {options.warmup}: needs 1 to {len(stream) - 1}, {stream.name} has {len(stream)} rows"
        )
    if options.delay < 0:
        raise InvalidInput(f"--delay {options.delay}: needs 0 or more rows")
