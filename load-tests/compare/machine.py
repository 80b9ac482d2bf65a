"""Where and with what a run was made."""

import datetime
import os
import platform
import subprocess
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

import psutil
from drivers import CONNECTIONS, GHZ, HEY
from rounds import Pace
from sites import PEERS, ROOT

_QUIET: Final = 0.1
_NAMED: Final = {"ray_serve": "ray", "mlserver": "mlserver", "bentoml": "bentoml", "raw_grpc": "grpcio"}


def commit() -> str:
    """Of the checkout; `-changed` where files differ from it."""
    found = _git("rev-parse", "--short", "HEAD")
    return f"{found}-changed" if _git("status", "--porcelain", "--untracked-files=no") else found


def today() -> str:
    """The date, UTC."""
    return datetime.datetime.now(tz=datetime.UTC).date().isoformat()


def head(pace: Pace, *, others: Sequence[float]) -> Iterator[str]:
    """The first lines of a report."""
    memory_gib = psutil.virtual_memory().total / 2**30
    yield f"# The gateway beside its peers, {today()}, commit {commit()}"
    yield ""
    system = f"{platform.system()} {platform.release()}"
    yield f"- machine: {os.cpu_count()} cores, {_cpu()}, {memory_gib:.0f} GiB; {system}"
    yield (
        f"- Slipway: Python {platform.python_version()}, grpcio {version('grpcio')}, "
        f"ray {version('ray')}, onnxruntime {version('onnxruntime')}"
    )
    yield "- peers: " + ", ".join(_peers())
    yield (
        f"- load: {GHZ[0]} {GHZ[2]} over {CONNECTIONS} connections (1 at 1 in flight), "
        f"{HEY[0]} {HEY[2]} for HTTP (a connection a caller), on the same machine"
    )
    yield (
        f"- rounds: {pace.rounds}, in another order each, {pace.seconds:g} s a load after a warm-up of "
        f"{pace.warm_up_s:g} s; the figures are medians over the rounds"
    )
    yield (
        f"- other work on the machine before the turns: {min(others, default=0):.0%} to "
        f"{max(others, default=0):.0%} of its processors"
    )
    if max(others, default=0) > _QUIET:
        yield "- **provisional**: the machine was not quiet; only the proportions mean something"
    yield (
        "- model: 100 trees, 30 features, one row a request, ONNX Runtime with one thread; Slipway with key "
        "check, validation and standard records, cache off"
    )


def _peers() -> Iterator[str]:
    for folder, package in _NAMED.items():
        lines = (PEERS / folder / "requirements.txt").read_text().splitlines()
        pins = dict(line.split("==") for line in lines if "==" in line)
        found = next(name for name in pins if name.split("[")[0] == package)
        extra = f" (uvloop {pins['uvloop']})" if "uvloop" in pins else ""
        yield f"{package} {pins[found]}{extra}"


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip() or ("unknown" if done.returncode else "")
