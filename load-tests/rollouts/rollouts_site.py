"""A stack of its own with three registered versions, and what an operator does to it."""

import asyncio
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import requests
from forest import Forest
from rollouts_client import Door
from rollouts_models import MODEL, make_files, request_bytes, spec_text
from servers import CannotRun
from sites import LOOPBACK, Workshop
from slipway_site import LocalStack

from slipway.cli.control_plane import ControlPlane
from slipway.ports import ports
from slipway.stack.gateway_parts import WORKERS_VARIABLE
from slipway.v1 import rollout_pb2

_WORKERS: Final = 2
_NEEDED: Final = ("gateway", *(f"gateway_{n}" for n in range(2, _WORKERS + 1)), "inference", "rollout")
_WITHIN_S: Final = 400.0
_LOOK_S: Final = 0.05
_EPOCH: Final = re.compile(rf'^slipway_gateway_route_epoch{{model="{MODEL}"}} (\S+)$', re.MULTILINE)


@contextmanager
def own_stack(home: Path, *, port_offset: int, parts: tuple[str, ...]) -> Iterator[LocalStack]:
    """These parts with an empty home and ports of their own; stopped and emptied at the end.

    Raises:
        CannotRun: The folder holds something that no such run has made, or a part does not start.
    """
    os.environ[WORKERS_VARIABLE] = str(_WORKERS)
    cache = Path(os.environ.get("SLIPWAY_CACHE") or Path.home() / ".cache" / "slipway")
    workshop = Workshop(
        forest=Forest(folder=home), cache=cache, folder=home, home=home.resolve(), port_offset=port_offset
    )
    stack = LocalStack(workshop)
    os.environ.update(stack.variables)  # for what looks at the stack from in here
    stack.empty()
    try:
        stack.tell("up", *parts)
        yield stack
    finally:
        stack.tell("down")
        stack.empty()


@dataclass(kw_only=True)
class Site:
    """The model with its versions, and the way to them."""

    door: Door
    digests: dict[str, str] = field(default_factory=dict)  # by version
    plane: ControlPlane = field(default_factory=ControlPlane)

    async def apply(self, *, steps: str, bake_rows: int) -> None:
        """Let the next rollouts go this way."""
        request = rollout_pb2.ApplySpecRequest(yaml=spec_text(steps=steps, bake_rows=bake_rows), actor="load")
        await self.plane.rollout(lambda stub, how: stub.ApplySpec(request, **how))

    async def start(self, version: str) -> None:
        """Begin a rollout."""
        request = rollout_pb2.StartRolloutRequest(
            model=MODEL, version=version, digest=self.digests[version], actor="load"
        )
        await self.plane.rollout(lambda stub, how: stub.StartRollout(request, **how))

    async def abort(self) -> rollout_pb2.RolloutEvent:
        """End it; returns the entry of the log."""
        return await self._command(lambda stub: stub.Abort)

    async def rollback(self) -> rollout_pb2.RolloutEvent:
        """Return to the version before; returns the entry of the log."""
        return await self._command(lambda stub: stub.Rollback)

    async def _command(self, verb: Callable[[Any], Any]) -> rollout_pb2.RolloutEvent:
        request = rollout_pb2.RolloutCommand(model=MODEL, actor="load")
        await self.plane.rollout(lambda stub, how: verb(stub)(request, **how))
        return await self.newest()

    async def newest(self) -> rollout_pb2.RolloutEvent:
        """The newest entry of the log."""
        return (await self.plane.status(MODEL, events=1)).events[0]

    async def reaches(self, state: str, *, version: str) -> rollout_pb2.RolloutEvent:
        """Wait for the entry that brings a version to a state.

        Raises:
            CannotRun: Its rollout ended in another one, or takes too long.
        """
        deadline_s = time.monotonic() + _WITHIN_S
        while True:
            newest = await self.newest()
            if newest.version == version and newest.to_state == state:
                return newest
            if time.monotonic() > deadline_s or newest.to_state in ("ABORTED", "ROLLED_BACK"):
                raise CannotRun(
                    f"version {version} did not get to {state}: {newest.to_state}, {newest.reason}"
                )
            await asyncio.sleep(_LOOK_S)

    async def workers_reach(self, event: rollout_pb2.RolloutEvent, *, within_s: float) -> tuple[float, ...]:
        """Seconds from an entry until each gateway worker had its routes; as long as was waited if not."""
        at_s = event.at.ToNanoseconds() / 1e9
        looks = [asyncio.to_thread(_wait_for_epoch, port, event.epoch, within_s) for port in worker_ports()]
        return tuple(seen_s - at_s for seen_s in await asyncio.gather(*looks))


def worker_ports() -> list[int]:
    """Where the gateway's workers tell of themselves."""
    table = ports()
    return [table["gateway_probe"], *(table[f"gateway_{n}_probe"] for n in range(2, _WORKERS + 1))]


def _wait_for_epoch(port: int, epoch: int, within_s: float) -> float:
    deadline_s = time.monotonic() + within_s
    with requests.Session() as session:
        while time.monotonic() < deadline_s:
            text = session.get(f"http://{LOOPBACK}:{port}/metrics", timeout=5).text
            found = _EPOCH.search(text)
            if found and float(found.group(1)) >= epoch:
                break
            time.sleep(0.02)
    return time.time()


@contextmanager
def live_site(home: Path, *, port_offset: int) -> Iterator[Site]:
    """The stack with all three versions registered; none is rolled out yet."""
    with (
        own_stack(home, port_offset=port_offset, parts=_NEEDED) as stack,
        tempfile.TemporaryDirectory() as folder,
    ):
        files = make_files(Path(folder))
        files.spec.write_text(spec_text(steps="", bake_rows=0))
        stack.tell("apply", "-f", str(files.spec))
        key = json.loads(stack.tell("keys", "create", "rollouts", "--json"))["key"]
        door = Door(
            address=f"{LOOPBACK}:{ports()['gateway_grpc']}",
            metadata=(("authorization", f"Bearer {key}"),),
            body=request_bytes(),
        )
        site = Site(door=door)
        for name in ("first", "second", "broken"):
            words = [MODEL, str(files.onnx(name)), "--sample", str(files.sample), "--no-rollout", "--json"]
            made = json.loads(stack.tell("register", *words))
            site.digests[str(made["version"])] = made["digest"]
        yield site
