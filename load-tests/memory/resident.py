#!/usr/bin/env python3
"""Does memory stay flat under load? Resident memory of the gateway and a replica, and its slope.

Starts a stack of its own (the parts that a prediction needs), keeps 16 calls in flight, and notes memory,
open files and threads of both every second.

Examples:
  load-tests/memory/run                    # 10 minutes of load
  load-tests/memory/run --minutes 60
  load-tests/memory/run --quick            # one minute, too short to judge: does it work?
"""

import argparse
import contextlib
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import goals
import matplotlib as mpl
import psutil
from drivers import Drivers, Target, install_drivers
from machine import about, commit, today
from matplotlib.figure import Figure as Picture
from outcome import MISSED, Figure, Outcome, figure, table, write
from readings import Figures
from scenarios import Load
from servers import CannotRun, busy_share
from sites import ROOT
from slipway_site import own_workshop, slipway
from slope import Slope, slope

from slipway.stack.processes import family

LOAD: Final = Load(in_flight=16)
SAMPLE_EVERY_S: Final = 1.0
LOAD_S: Final = 10.0  # one run of the driver; it keeps every answer's time, so that it must not be long
WARM_UP_SHARE: Final = 0.25
LONGEST_WARM_UP_S: Final = 150.0
FLAT_MB_PER_HOUR: Final = 10.0
SHORTEST_MINUTES: Final = 5.0
MEASURED: Final = {"gateway": goals.MEMORY_GATEWAY, "replica": goals.MEMORY_REPLICA}
MEGABYTE: Final = 1e6
RESULTS: Final = Path(__file__).parent / "results"
HOME: Final = Path(tempfile.gettempdir()) / "slipway-memory"
PORT_OFFSET: Final = 4500


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One process and its children at one time."""

    at_s: float
    resident_mb: float
    open_files: int
    threads: int


@dataclass(slots=True, kw_only=True)
class Watch:
    """Notes what processes hold, every second, in a thread of its own."""

    pids: Mapping[str, Sequence[int]]
    start_s: float = field(default_factory=time.monotonic)
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    @contextmanager
    def on(self) -> Iterator[None]:
        """As long as the block lasts."""
        over = threading.Event()
        thread = threading.Thread(target=self._watch, args=(over,))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(SAMPLE_EVERY_S):
            for name, pids in self.pids.items():
                self.samples.setdefault(name, []).append(look(pids, time.monotonic() - self.start_s))


def look(pids: Sequence[int], at_s: float) -> Sample:
    """What processes and their children hold now."""
    resident = files = threads = 0
    for process in {it.pid: it for pid in pids for it in family(pid)}.values():
        with contextlib.suppress(psutil.Error), process.oneshot():
            resident += process.memory_info().rss
            files += process.num_fds()
            threads += process.num_threads()
    return Sample(at_s=at_s, resident_mb=resident / MEGABYTE, open_files=files, threads=threads)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """All that was seen."""

    minutes: float
    loads: Sequence[Figures]
    samples: Mapping[str, Sequence[Sample]]
    beside: Sequence[str]

    @property
    def warm_up_s(self) -> float:
        """What is left out at the start."""
        return min(LONGEST_WARM_UP_S, WARM_UP_SHARE * self.minutes * 60)

    def slope(self, name: str) -> Slope:
        """Of a process, after the warm-up."""
        kept = [sample for sample in self.samples[name] if sample.at_s >= self.warm_up_s]
        return slope([it.at_s for it in kept], [it.resident_mb for it in kept])


def measure(drivers: Drivers, targets: Mapping[str, Target], minutes: float) -> Run:
    """Load the gateway, one short load after the other, and watch."""
    gateway, replica = targets["gateway"], targets["replica"]
    own = tuple(set(gateway.pids) - set(replica.pids))
    watch, loads = Watch(pids={"gateway": own, "replica": replica.pids}), []
    with watch.on():
        while (left_s := minutes * 60 - (time.monotonic() - watch.start_s)) > 1:
            loads.append(drivers.grpc(gateway, LOAD, seconds=min(LOAD_S, left_s)))
            say(f"  {minutes * 60 - left_s:6.0f} s  {loads[-1].rate_per_s:7.0f}/s  {_now(watch)}")
    return Run(minutes=minutes, loads=loads, samples=watch.samples, beside=gateway.beside)


def _now(watch: Watch) -> str:
    return "  ".join(f"{name} {them[-1].resident_mb:.0f} MB" for name, them in watch.samples.items())


def outcome_of(run: Run, picture: str) -> Outcome:
    """The slopes, and whether they are flat."""
    slopes = {name: run.slope(name) for name in MEASURED}
    answers, errors = sum(it.answers for it in run.loads), sum(it.errors for it in run.loads)
    lines = [
        f"{run.minutes:g} minutes of load, {LOAD.title}: {answers:,} answers "
        f"({answers / run.minutes / 60:,.0f}/s), {errors:,} errors. Beside it ran {', '.join(run.beside)}.",
        f"A line by least squares through one value a second after {run.warm_up_s:.0f} s of warm-up; its "
        "interval (95 %) allows for neighbouring values that are alike.",
        "",
        "| | first / last MB | the line, MB | MB/h (95 %) | open files | threads |",
        "|---|---|---|---|---|---|",
    ]
    for name, it in slopes.items():
        first, last = run.samples[name][0], run.samples[name][-1]
        lines.append(
            f"| {name} | {first.resident_mb:.1f} / {last.resident_mb:.1f} | "
            f"{it.at_start:.1f} to {it.at_end:.1f} | {_said(it)} | "
            f"{first.open_files} / {last.open_files} | {first.threads} / {last.threads} |"
        )
    lines += ["", f"![resident memory over time]({picture})"]
    return Outcome(figures=[judged(name, it, run.minutes) for name, it in slopes.items()], lines=lines)


def judged(name: str, it: Slope, minutes: float) -> Figure:
    """Flat is a line whose growth is small, or not to be told from none; a short run is not judged."""
    measured = f"{_said(it)} over {minutes:g} minutes"
    if minutes < SHORTEST_MINUTES:
        return figure(MEASURED[name], f"{measured}, too short to judge", is_met=None)
    return figure(MEASURED[name], measured, is_met=it.per_hour <= FLAT_MB_PER_HOUR or it.low <= 0)


def _said(it: Slope) -> str:
    return f"{it.per_hour:+.1f} ({it.low:+.1f} to {it.high:+.1f})"


def draw(run: Run, path: Path) -> None:
    """Memory over time, with the lines through it."""
    mpl.use("Agg")
    whole = Picture(figsize=(11, 4.2), layout="constrained")
    for axes, name in zip(whole.subplots(1, len(MEASURED)), MEASURED, strict=True):
        samples, line = run.samples[name], run.slope(name)
        axes.plot([it.at_s / 60 for it in samples], [it.resident_mb for it in samples], lw=1, label=name)
        ends = [run.warm_up_s / 60, samples[-1].at_s / 60]
        axes.plot(ends, [line.at_start, line.at_end], "--", label=f"{_said(line)} MB/h")
        highest = max(it.resident_mb for it in samples)
        axes.set(xlabel="minutes of load", ylabel="resident MB", ylim=(0, 1.15 * highest))
        axes.grid(visible=True, alpha=0.2)
        axes.legend(loc="lower right")
    whole.savefig(path, dpi=130)


def keep(run: Run, *, folder: Path, others: float) -> Outcome:
    """Page, picture and figures."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{today()}-{commit()}"
    draw(run, folder / f"{name}.png")
    # The same way leads here from a report of `compare`, whose folder lies beside this one or its parent.
    way = "../../memory/results" if folder == RESULTS else f"../{folder.name}"
    outcome = outcome_of(run, f"{way}/{name}.png")
    outcome = Outcome(figures=outcome.figures, lines=[*about([others]), "", *outcome.lines])
    page = ["# Memory under load", "", *outcome.lines, "", *table(outcome.figures), ""]
    (folder / f"{name}.md").write_text("\n".join(page))
    return outcome


def say(text: str) -> None:
    """To the person who waits."""
    print(text, flush=True)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="of load (10)")
    parser.add_argument("--quick", action="store_true", help="one minute: to see that it works")
    parser.add_argument("--out", type=Path, help="folder of the report (results/; out/memory when quick)")
    parser.add_argument("--json", type=Path, default=Path("out", "memory.json"))
    parser.add_argument("--home", type=Path, default=HOME, help=f"Slipway's stack for the run ({HOME})")
    parser.add_argument("--port-offset", type=int, default=PORT_OFFSET, help="of its ports (4500)")
    given = parser.parse_args()
    given.minutes = 1.0 if given.quick else given.minutes
    given.out = given.out or (ROOT / "out" / "memory" if given.quick else RESULTS)
    return given


def main() -> None:
    """Start what is needed, measure, stop it."""
    given = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended too
    commit(), today()  # of the start: what runs is the code as it is now
    others = busy_share()
    try:
        with own_workshop(given.home, given.port_offset) as workshop:
            drivers = install_drivers(workshop.cache)
            with slipway(whole_stack=False)(workshop) as targets:
                say("the stack is up; load begins")
                run = measure(drivers, targets, given.minutes)
    except CannotRun as error:
        sys.exit(str(error))
    outcome = keep(run, folder=given.out, others=others)
    kept: dict[str, Any] = {name: [asdict(it) for it in them] for name, them in run.samples.items()}
    write(outcome, given.json, samples=kept, loads=[asdict(it) for it in run.loads])
    say("\n".join([*outcome.lines, "", *table(outcome.figures)]))
    if any(it.is_met is False for it in outcome.figures):
        sys.exit(MISSED)


if __name__ == "__main__":
    main()
