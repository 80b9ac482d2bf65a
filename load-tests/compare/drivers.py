"""Who makes the load: ghz for gRPC, hey and vegeta for HTTP; Go programs from the module proxy, pinned."""

import json
import os
import resource
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from readings import Figures, read_ghz, read_hey, read_vegeta
from scenarios import Load
from servers import CannotRun, command

GHZ: Final = ("ghz", "github.com/bojand/ghz/cmd/ghz", "v0.93.0")
HEY: Final = ("hey", "github.com/rakyll/hey", "v0.1.5")
VEGETA: Final = ("vegeta", "github.com/tsenart/vegeta/v12", "v12.12.0")
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
        body: What is sent: a serialized message for gRPC (or `.json`, a list of messages that are sent in
            turn), the body for HTTP.
        metadata: Of the call: gRPC metadata or HTTP headers.
        content_type: For HTTP.
        settled: Whether nothing of the last load is still being worked on.
        beside: Parts of Slipway that run meanwhile.
        pids: Processes that do the work, they and their children.
        tls: How ghz shows who it is; without it nothing is encrypted.
    """

    address: str
    body: Path
    metadata: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    settled: Callable[[], bool] = lambda: True
    beside: tuple[str, ...] = ()
    pids: tuple[int, ...] = ()
    tls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Drivers:
    """Paths of the programs."""

    ghz: Path
    hey: Path
    vegeta: Path

    def grpc(self, target: Target, load: Load, *, seconds: float) -> Figures:
        """Load a gRPC server over four connections.

        Raises:
            CannotRun: Nothing was answered well.
        """
        words = [*self.ghz_words(target, load, seconds=seconds), "-O", "json", target.address]
        return _timed(lambda: read_ghz(command(words, within_s=seconds + _GRACE_S)))

    def ghz_words(self, target: Target, load: Load, *, seconds: float) -> list[str]:
        """The command line without the form of its output and the address."""
        body = "-D" if target.body.suffix == ".json" else "-B"
        return [
            *(str(self.ghz), *(target.tls or ("--insecure",)), "--proto", str(_PROTO), "--call", _METHOD),
            *(body, str(target.body), "-m", json.dumps(dict(target.metadata)), "-t", f"{TIMEOUT_S}s"),
            *("--connections", str(CONNECTIONS if load.in_flight != 1 else 1)),
            *("-z", f"{seconds}s", "--duration-stop", "wait"),
            # In an open loop ghz starts each call when its time has come, however many are under way.
            *(("-c", str(load.in_flight)) if load.in_flight else ("--async", "-c", str(CONNECTIONS))),
            *(() if load.in_flight else ("--rps", str(load.rate_per_s))),
        ]

    def http(self, target: Target, load: Load, *, seconds: float) -> Figures:
        """Load an HTTP server: by hey in a closed loop, with a connection a caller; by vegeta in an open one.

        Raises:
            CannotRun: Nothing was answered well.
        """
        drive = self._hey if load.in_flight else self._vegeta
        return _timed(lambda: drive(target, load, seconds))

    def _hey(self, target: Target, load: Load, seconds: float) -> Figures:
        words = [
            *(str(self.hey), "-z", f"{seconds}s", "-c", str(load.in_flight), "-t", str(TIMEOUT_S)),
            *("-m", "POST", "-T", target.content_type, "-D", str(target.body), "-o", "csv"),
            *(f"-H={name}: {value}" for name, value in target.metadata.items()),
            target.address,
        ]
        return read_hey(command(words, within_s=seconds + _GRACE_S), seconds=seconds)

    def _vegeta(self, target: Target, load: Load, seconds: float) -> Figures:
        with tempfile.TemporaryDirectory() as folder:
            where, seen = Path(folder, "targets"), Path(folder, "seen")
            where.write_text(f"POST {target.address}\n")
            attack = [
                *(str(self.vegeta), "attack", f"-rate={load.rate_per_s}/1s", f"-duration={seconds}s"),
                *(f"-timeout={TIMEOUT_S}s", "-max-body=0", f"-targets={where}", f"-body={target.body}"),
                *(f"-header={name}: {value}" for name, value in target.metadata.items()),
                *(f"-header=content-type: {target.content_type}", f"-output={seen}"),
            ]
            command(attack, within_s=seconds + _GRACE_S)
            return read_vegeta(command([str(self.vegeta), "encode", "-to=csv", str(seen)], within_s=_GRACE_S))


def _timed(drive: Callable[[], Figures]) -> Figures:
    before_s = _children_s()
    figures = drive()
    return replace(figures, driver_cpu_ms=(_children_s() - before_s) * 1000 / figures.answers)


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)  # of those that have ended
    return used.ru_utime + used.ru_stime


def install_drivers(cache: Path) -> Drivers:
    """Build what is missing, once."""
    ghz, hey, vegeta = (_install(*driver, cache=cache) for driver in (GHZ, HEY, VEGETA))
    return Drivers(ghz=ghz, hey=hey, vegeta=vegeta)


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
