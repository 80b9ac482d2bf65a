"""From measurements to a page and a file: medians over the turns, machine, commit."""

import dataclasses
import datetime
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
from before import ROOT
from emitted import Emitted
from meter import Span
from turns import Contestant

GOAL_PER_S: Final = 5000
_MIB: Final = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """All turns of one contestant, and how busy others kept the machine before them."""

    contestant: Contestant
    spans: Sequence[Span]
    others: float

    def median(self, value: Callable[[Span], float]) -> float:
        """Over the turns."""
        return statistics.median(value(span) for span in self.spans)


def commit() -> str:
    """Of the checkout; `-changed` where files differ from it."""
    found = _git("rev-parse", "--short", "HEAD") or "unknown"
    return f"{found}-changed" if _git("status", "--porcelain", "--untracked-files=no") else found


def today() -> str:
    """The date, UTC."""
    return datetime.datetime.now(tz=datetime.UTC).date().isoformat()


def machine() -> dict[str, Any]:
    """Where it ran."""
    return {
        "cores": os.cpu_count(),
        "cpu": _cpu(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def page(measured: Sequence[Measured], emitted: Emitted) -> str:
    """The report for people."""
    return "\n".join(_lines(measured, emitted)) + "\n"


def as_json(measured: Sequence[Measured], emitted: Emitted) -> str:
    """The report for programs."""
    report = {
        "commit": commit(),
        "date": today(),
        "machine": machine(),
        "emitted": dataclasses.asdict(emitted),
        "measured": [
            {
                "name": m.contestant.name,
                "others": m.others,
                "turns": [
                    {**dataclasses.asdict(s), "cpu_us": s.cpu_us, "per_core_s": s.per_core_s} for s in m.spans
                ],
            }
            for m in measured
        ],
    }
    return json.dumps(report, indent=2) + "\n"


def _lines(measured: Sequence[Measured], emitted: Emitted) -> Iterator[str]:
    at = machine()
    turns = max(len(m.spans) for m in measured)
    yield f"# The consumers of `predictions`, {today()}, commit {commit()}"
    yield ""
    yield (
        f"- machine: {at['cores']} cores, {at['cpu']}, {at['memory_gib']} GiB; {at['system']}; "
        f"Python {at['python']}"
    )
    yield (
        f"- {emitted.predictions:,} predictions with {emitted.rows:,} rows of 30 features, "
        f"{emitted.value_bytes / emitted.predictions:,.0f} bytes each, in the gateway's own form"
    )
    yield f"- medians of {turns} turns; Kafka and PostgreSQL on the same machine, one service at a time"
    busiest = max(m.others for m in measured)
    yield f"- other work on the machine before the turns: up to {busiest:.0%} of its processors"
    if busiest > 0.1:
        yield "- **provisional**: the machine was not quiet; trust processor times, not rates by the clock"
    yield ""
    yield (
        "| service | predictions/s on one core | CPU us a prediction | by the clock, predictions/s | "
        "PostgreSQL, CPU us a prediction | Kafka, CPU us | resident MiB |"
    )
    yield "|---|---|---|---|---|---|---|"
    yield from map(_row, measured)
    yield ""
    yield f"The goal is {GOAL_PER_S:,} predictions/s on one core."


def _row(m: Measured) -> str:
    figures = (
        f"{1e6 / m.median(lambda s: s.cpu_us):,.0f}",
        f"{m.median(lambda s: s.cpu_us):.0f}",
        f"{m.median(lambda s: s.per_s):,.0f}",
        f"{m.median(lambda s: s.database_cpu_us):.0f}",
        f"{m.median(lambda s: s.broker_cpu_us):.0f}",
        f"{m.median(lambda s: s.resident_bytes) / _MIB:.0f}",
    )
    return f"| {m.contestant.title} | " + " | ".join(figures) + " |"


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip()
