"""Where a run was made: commit, date, machine."""

import datetime
import os
import platform
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import psutil
from servers import QUIET

_ROOT: Final = Path(__file__).resolve().parents[2]


@cache
def commit() -> str:
    """Of the checkout when it is asked for first; `-changed` where files differ from it."""
    found = _git("rev-parse", "--short", "HEAD")
    return f"{found}-changed" if _git("status", "--porcelain", "--untracked-files=no") else found


@cache
def today() -> str:
    """The date when it is asked for first, UTC."""
    return datetime.datetime.now(tz=datetime.UTC).date().isoformat()


def machine() -> str:
    """Cores, processor, memory, kernel."""
    memory_gib = psutil.virtual_memory().total / 2**30
    system = f"{platform.system()} {platform.release()}"
    return f"{os.cpu_count()} cores, {_cpu()}, {memory_gib:.0f} GiB; {system}"


def about(others: Sequence[float]) -> Iterator[str]:
    """Where and when a load test ran, and whether it was alone.

    Args:
        others: Shares of the processors that others used right before, 0..1.
    """
    yield f"- {today()}, commit {commit()}; {machine()}"
    if not others:
        return
    yield f"- other work on the machine before: {min(others):.0%} to {max(others):.0%} of its processors"
    if max(others) > QUIET:
        yield "- **provisional**: the machine was not quiet; only the proportions mean something"


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(_ROOT), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip() or ("unknown" if done.returncode else "")
