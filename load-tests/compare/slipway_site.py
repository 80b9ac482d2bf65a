"""Slipway as its users run it: its own local stack, a registered model, an API key."""

import asyncio
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import psutil
import requests
from drivers import Target
from forest import GUARDED, MODEL, make_forest
from servers import CannotRun, command, wait_until
from sites import (
    HEADER_LENGTH,
    LOOPBACK,
    ROOT,
    Site,
    Workshop,
    grpc_is_right,
    http_is_right,
    rest_target,
)

from slipway.cli.control_plane import ControlPlane
from slipway.ports import ports
from slipway.stack.certificates import ca_path, certificate_path
from slipway.stack.environment import cli_environment
from slipway.tls import REPLICA, address_of
from slipway.v1.inference_pb2 import GetVersionRequest
from slipway.v1.inference_pb2_grpc import InferenceDirectoryStub

_SLIPWAY: Final = str(ROOT / ".venv" / "bin" / "slipway")
_NEEDED: Final = ("gateway", "inference", "rollout")
# Three limits that the caller `guarded` meets and never reaches, and policies that many callers would bring.
_LIMITS: Final = """
prices: {per_request: 0.0001, per_compute_second: 0.01}
limits:
  - {name: rate, match: {principal: guarded}, rate: {requests: 1000000, per: second}}
  - {name: month, match: {principal: guarded}, budget: {cost: 1000000, per: month}}
  - {name: cap, match: {principal: guarded}, concurrency: 100000}
"""
_POLICY: Final = """
@id("team-{n}")
permit (principal in Role::"team-{n}", action == Action::"infer", resource == Model::"other-{n}");
"""
_POLICIES: Final = 50
_MARK: Final = "made-by-compare"
_WITHIN_S: Final = 400.0
_BACKLOG: Final = re.compile(r"^slipway_gateway_spool_backlog_bytes\S* (\S+)$", re.MULTILINE)


class LocalStack:
    """The stack of one home directory, told what to do by the `slipway` command."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self.variables = {
            "SLIPWAY_HOME": str(workshop.home),
            "SLIPWAY_CACHE": str(workshop.cache),
            "SLIPWAY_PORT_OFFSET": str(workshop.port_offset),
        }
        self._environ = {**os.environ, **self.variables}
        self._ports = ports(self._environ)

    def empty(self) -> None:
        """Begin anew: what an earlier run left would be read by the consumers of this one.

        Raises:
            CannotRun: The folder holds something that no such run has made.
        """
        home, mark = self._workshop.home, self._workshop.home / _MARK
        if home.is_dir() and any(home.iterdir()) and not mark.is_file():
            raise CannotRun(f"{home} is not empty and not of an earlier comparison; choose another --home")
        self.tell("reset", "--yes")
        mark.touch()
        policies = home / "access" / "policies"
        policies.mkdir(parents=True)
        (home / "access" / "limits.yaml").write_text(_LIMITS)
        (policies / "teams.cedar").write_text("".join(_POLICY.format(n=n) for n in range(_POLICIES)))

    def tell(self, *words: str) -> str:
        """Run one `slipway` command."""
        return command([_SLIPWAY, *words], within_s=_WITHIN_S, environment=self._environ)

    def champion(self) -> str:
        """The version that serves, registered and rolled out if there is none yet."""
        forest = self._workshop.forest
        for model, spec in ((GUARDED, forest.guarded_spec), (MODEL, forest.spec)):
            self.tell("apply", "-f", str(spec))
            if not self._serving(model):
                self.tell("register", model, str(forest.onnx), "--sample", str(forest.sample))
        return self._serving(MODEL)

    def _serving(self, model: str) -> str:
        listed: list[dict[str, Any]] = json.loads(self.tell("models", "--json"))
        return next((str(row["champion"]) for row in listed if row["model"] == model), "")

    def gateway(self) -> Target:
        """The public gRPC port, with a fresh key."""
        return self.doors()["gateway"]

    def doors(self) -> dict[str, Target]:
        """The gateway by each of its protocols, with a fresh key."""
        who = self._credentials("compare")
        forest = self._workshop.forest
        grpc = Target(
            address=f"{LOOPBACK}:{self._ports['gateway_grpc']}", body=forest.grpc_body, metadata=who
        )
        rest = rest_target(self._ports["gateway_http"], forest, metadata=who)
        binary = replace(
            rest,
            body=forest.binary_body,
            metadata=who | {HEADER_LENGTH: str(len(forest.binary_head))},
            content_type="application/octet-stream",
        )
        guarded = replace(grpc, body=forest.guarded_body, metadata=self._credentials("guarded"))
        targets = {
            "gateway": grpc,
            "gateway_guarded": guarded,
            "gateway_rest_binary": binary,
            "gateway_rest_json": rest,
        }
        return {name: replace(it, settled=self._has_shipped_all) for name, it in targets.items()}

    def _credentials(self, principal: str) -> dict[str, str]:
        made = json.loads(self.tell("keys", "create", principal, "--json"))
        return {"authorization": f"Bearer {made['key']}"}

    def replica(self, version: str) -> Target:
        """The port of the replica behind it."""
        plane = ControlPlane({**cli_environment(self._environ)})
        request = GetVersionRequest(model=MODEL, version=version)
        listed = asyncio.run(
            plane.call("inference", InferenceDirectoryStub, lambda stub, how: stub.GetVersion(request, **how))
        )
        if not listed.targets:
            raise CannotRun(f"no replica of version {version} is listed: {listed.state} {listed.message}")
        address, is_encrypted = address_of(listed.targets[0])
        tls = self._as_gateway() if is_encrypted else ()
        return Target(address=address, body=self._workshop.forest.grpc_body, tls=tls)

    def _as_gateway(self) -> tuple[str, ...]:
        folder = self._workshop.home / "certificates"
        own = str(certificate_path(folder, "gateway"))
        return ("--cacert", str(ca_path(folder)), "--cert", own, "--key", own, "--cname", REPLICA)

    def running_parts(self) -> tuple[str, ...]:
        """What runs right now."""
        report = json.loads(self.tell("status", "--json"))
        return tuple(part["name"] for part in report["parts"] if part["state"] == "ready")

    def log(self, part: str) -> Path:
        """Where a part's log stands."""
        return self._workshop.home / "logs" / f"{part}.log"

    def _has_shipped_all(self) -> bool:
        url = f"http://{LOOPBACK}:{self._ports['gateway_probe']}/metrics"
        return sum(float(value) for value in _BACKLOG.findall(requests.get(url, timeout=5).text)) == 0


@contextmanager
def own_workshop(home: Path, port_offset: int, *, has_stack: bool = True) -> Iterator[Workshop]:
    """Folders and ports of a run's own; its stack is emptied before and after."""
    cache = Path(os.environ.get("SLIPWAY_CACHE") or Path.home() / ".cache" / "slipway")
    workshop = Workshop(
        forest=make_forest(cache / "peers" / "model"),
        cache=cache,
        folder=Path(tempfile.mkdtemp(prefix="compare-")),
        home=home.resolve(),
        port_offset=port_offset,
    )
    if has_stack:
        LocalStack(workshop).empty()
    yield workshop
    shutil.rmtree(workshop.folder, ignore_errors=True)  # after a failure its logs stay
    if has_stack:
        LocalStack(workshop).empty()


def slipway(whole_stack: bool) -> Site:
    """Gateway and replica; with or without the parts that a prediction does not need."""

    @contextmanager
    def site(workshop: Workshop) -> Iterator[Mapping[str, Target]]:
        stack = LocalStack(workshop)
        try:
            stack.tell("up", *(() if whole_stack else _NEEDED))
            version = stack.champion()
            doors, forest, log = stack.doors(), workshop.forest, stack.log("gateway")
            wait_until(lambda: grpc_is_right(doors["gateway"], forest), log=log)
            for name in ("gateway_rest_binary", "gateway_rest_json"):
                wait_until(partial(http_is_right, doors[name], forest), log=log)
            if not whole_stack:
                stack.tell("down", "rollout")
            beside = stack.running_parts()
            replica = stack.replica(version)
            pids = _holders(doors["gateway"], replica)
            targets = {name: replace(door, pids=pids) for name, door in doors.items()}
            targets["replica"] = replace(replica, pids=_holders(replica))
            yield {name: replace(it, beside=beside) for name, it in targets.items()}
        finally:
            stack.tell("down")

    return site


def _holders(*targets: Target) -> tuple[int, ...]:
    """The processes that listen where the targets are."""
    ports_of = {int(target.address.rpartition(":")[2]) for target in targets}
    found = (c for c in psutil.net_connections(kind="tcp") if c.status == psutil.CONN_LISTEN)
    return tuple({c.pid for c in found if c.pid is not None and c.laddr and c.laddr.port in ports_of})
