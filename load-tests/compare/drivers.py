"""Who makes the load: ghz for gRPC, hey for HTTP. Both are Go programs from the module proxy, pinned."""

import csv
import io
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from scenarios import Load
from servers import CannotRun, command

GHZ: Final = ("ghz", "github.com/bojand/ghz/cmd/ghz", "v0.93.0")
HEY: Final = ("hey", "github.com/rakyll/hey", "v0.1.5")
CONNECTIONS: Final = 4
TIMEOUT_S: Final = 20
_GRACE_S: Final = 60.0
_BUILD_S: Final = 600.0
_PROTO: Final = Path(__file__).resolve().parents[2] / "proto" / "slipway" / "oip" / "open_inference.proto"
_METHOD: Final = "inference.GRPCInferenceService.ModelInfer"
_GO: Final = "/usr/local/go/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a contestant listens, and what it is sent.

    Attributes:
        settled: Whether nothing of the last load is still being worked on.
        beside: Parts of Slipway that run meanwhile.
        pids: Processes that do the work, they and their children.
    """

    address: str
    body: Path
    metadata: Mapping[str, str] = field(default_factory=dict)
    settled: Callable[[], bool] = lambda: True
    beside: tuple[str, ...] = ()
    pids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one load of one target gave.

    Attributes:
        rate_per_s: Good answers.
        cpu_ms: Processor time of the target's processes for each good answer.
    """

    rate_per_s: float
    p50_ms: float
    p99_ms: float
    answers: int
    errors: int
    cpu_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drivers:
    """Paths of the two programs."""

    ghz: Path
    hey: Path

    def grpc(self, target: Target, load: Load, *, seconds: float) -> Figures:
        """Load a gRPC server over four connections."""
        words = [
            *(str(self.ghz), "--insecure", "--proto", str(_PROTO), "--call", _METHOD, "-O", "json"),
            *("-B", str(target.body), "-m", json.dumps(dict(target.metadata)), "-t", f"{TIMEOUT_S}s"),
            *("--connections", str(CONNECTIONS if load.in_flight != 1 else 1)),
            *("-z", f"{seconds}s", "--duration-stop", "wait"),
            *(("-c", str(load.in_flight)) if load.in_flight else _open_loop(load)),
            target.address,
        ]
        return read_ghz(command(words, within_s=seconds + _GRACE_S))

    def http(self, target: Target, load: Load, *, seconds: float) -> Figures:
        """Load an HTTP server; one connection a caller."""
        if not load.in_flight:
            raise CannotRun("hey has no open loop")
        words = [
            *(str(self.hey), "-z", f"{seconds}s", "-c", str(load.in_flight), "-t", str(TIMEOUT_S)),
            *("-m", "POST", "-T", "application/json", "-D", str(target.body), "-o", "csv"),
            *(f"-H={name}: {value}" for name, value in target.metadata.items()),
            target.address,
        ]
        return read_hey(command(words, within_s=seconds + _GRACE_S), seconds=seconds)


def install_drivers(cache: Path) -> Drivers:
    """Build what is missing, once."""
    return Drivers(ghz=_install(*GHZ, cache=cache), hey=_install(*HEY, cache=cache))


def _install(name: str, module: str, version: str, *, cache: Path) -> Path:
    folder = cache / f"{name}-{version}"
    program = folder / name
    if not program.is_file():
        path = f"{os.environ['PATH']}:{_GO}"
        go = shutil.which("go", path=path)
        if go is None:
            raise CannotRun("there is no Go to build the load drivers with: apt-get install golang-go")
        environment = {**os.environ, "PATH": path, "GOBIN": str(folder), "GOFLAGS": "-buildvcs=false"}
        command([go, "install", f"{module}@{version}"], within_s=_BUILD_S, environment=environment)
    return program


def _open_loop(load: Load) -> tuple[str, ...]:
    # ghz starts each call when its time has come, however many are still under way.
    return ("--async", "-c", str(CONNECTIONS), "--rps", str(load.rate_per_s))


def read_ghz(text: str) -> Figures:
    """Figures of ghz's JSON.

    Raises:
        CannotRun: Nothing was answered well.
    """
    report: dict[str, Any] = json.loads(text)
    details = report["details"] or []
    good = [call["latency"] / 1e6 for call in details if call["status"] == "OK"]
    return _figures(good, total=report["count"], seconds=report["total"] / 1e9)


def read_hey(text: str, *, seconds: float) -> Figures:
    """Figures of hey's CSV.

    Raises:
        CannotRun: Nothing was answered well.
    """
    rows = list(csv.DictReader(io.StringIO(text)))
    good = [float(row["response-time"]) * 1000 for row in rows if row["status-code"] == "200"]
    return _figures(good, total=len(rows), seconds=seconds)


def _figures(good_ms: list[float], *, total: int, seconds: float) -> Figures:
    if not good_ms:
        raise CannotRun(f"not one good answer to {total} calls")
    p50_ms, p99_ms = np.percentile(good_ms, (50, 99))
    return Figures(
        rate_per_s=len(good_ms) / seconds,
        p50_ms=float(p50_ms),
        p99_ms=float(p99_ms),
        answers=len(good_ms),
        errors=total - len(good_ms),
    )
