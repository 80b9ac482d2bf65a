"""What is there before anybody reads: a stack of its own, applied models, a canary of each under way."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
import numpy as np
from emitted import FEATURES, spec_of

from services.rollout.app import MIGRATIONS
from services.rollout.commands import start_rollout
from services.rollout.control import Control
from services.rollout.domain.decision import when_ready
from services.rollout.domain.log_entry import Version
from services.rollout.handlers import make_move
from services.rollout.rows import Candidate, Profiles
from services.rollout.spec_handlers import apply_spec
from services.rollout.store import Store
from slipway import kafka, postgres
from slipway.callback_urls import CallbackPolicy
from slipway.clock import SystemClock
from slipway.identity.caller import STACK_OPERATOR
from slipway.outbox import Relay
from slipway.ports import OFFSET_VARIABLE, ports
from slipway.profiles import to_proto
from slipway.stack.layout import HOME_VARIABLE, find_layout
from slipway.stack.postgres_server import admin_dsn
from slipway.stack.processes import listeners
from slipway.stats.profile import numeric_profile
from slipway.v1.rollout_pb2 import RouteTable
from slipway.v1.tensors_pb2 import ReferenceProfile

ROOT: Final = Path(__file__).resolve().parents[2]
_SLIPWAY: Final = str(ROOT / ".venv" / "bin" / "slipway")
_MARK: Final = "made-by-consumers"
_LEASE_S: Final = 3600.0
_WITHIN_S: Final = 300.0


class CannotRun(Exception):
    """What keeps the run from going on, for the person who waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The running infrastructure."""

    home: Path
    bootstrap: str
    admin_dsn: str
    broker_pid: int
    database_pid: int

    def dsn(self, database: str) -> str:
        """The owner's connection string of a database."""
        return self.admin_dsn.rpartition("/")[0] + "/" + database


@contextmanager
def own_stack(home: Path, *, port_offset: int, say: Callable[[str], None]) -> Iterator[Site]:
    """Kafka and PostgreSQL in a home of their own, empty; gone at the end.

    Raises:
        CannotRun: The folder holds something that no such run has made, or a part does not start.
    """
    os.environ[HOME_VARIABLE], os.environ[OFFSET_VARIABLE] = str(home), str(port_offset)
    if home.is_dir() and any(home.iterdir()) and not (home / _MARK).is_file():
        raise CannotRun(f"{home} is not empty and not of an earlier run; choose another --home")
    say("starting Kafka and PostgreSQL")
    _slipway("reset", "--yes")
    home.mkdir(parents=True, exist_ok=True)
    (home / _MARK).touch()
    try:
        _slipway("up", "kafka", "postgres")
        table = ports()
        pids = listeners([table["kafka"], table["postgres"]])
        yield Site(
            home=home,
            bootstrap=f"127.0.0.1:{table['kafka']}",
            admin_dsn=admin_dsn(find_layout(), table),
            broker_pid=pids[table["kafka"]] or 0,
            database_pid=pids[table["postgres"]] or 0,
        )
    finally:
        _slipway("reset", "--yes")
        shutil.rmtree(home, ignore_errors=True)


def _slipway(*words: str) -> None:
    done = subprocess.run([_SLIPWAY, *words], capture_output=True, text=True, timeout=_WITHIN_S, check=False)
    if done.returncode:
        raise CannotRun(f"`slipway {' '.join(words)}` failed: {(done.stderr or done.stdout)[-1000:]}")


async def create_database(site: Site, name: str, *, like: str = "template1") -> str:
    """Make a database anew; returns its connection string."""
    connection = await asyncpg.connect(site.admin_dsn, timeout=10, ssl=False)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", timeout=60)
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {like}", timeout=60)
    finally:
        await connection.close()
    return site.dsn(name)


async def roll_out(site: Site, database: str, *, models: Sequence[str]) -> list[RouteTable]:
    """Bring two versions of each model on their way by the service's own parts: 1 serves, 2 is at 10 %."""
    dsn = await create_database(site, database)
    async with (
        postgres.pool(dsn, migrations=MIGRATIONS) as pool,
        kafka.producer(site.bootstrap) as producer,
    ):
        relay = Relay(pool, producer)
        store = Store(pool)
        control = Control(store, relay, clock=SystemClock())
        writer = await store.take_lease("load test", lease_s=_LEASE_S)
        assert writer is not None
        await control.lead(writer)
        tables = [await _canary(control, model) for model in models]
        await relay.flush()
        await store.release_lease(writer)
    return tables


async def _canary(control: Control, name: str) -> RouteTable:
    await apply_spec(
        control,
        yaml=spec_of(name),
        recipe="",
        actor="load test",
        receivers=CallbackPolicy(prefixes=(), private_networks=()),
        who=STACK_OPERATOR,
        may_apply=lambda _: None,
    )
    profile = Profiles(reference=_profile())
    for version in ("1", "2"):
        async with control.locked(name) as model:
            await control.store.put_profiles(control.writer, (name, version), profiles=profile)
            model.profiles[version] = profile
        subject = Version(version=version, digest=f"{int(version):064x}")
        candidate = Candidate(model=name, subject=subject, actor="load test", reason="load", quality="none")
        await start_rollout(control, candidate)
        async with control.locked(name) as model:
            decision = when_ready(model.position, model.policy, control.moment())
            if decision is None:
                raise RuntimeError(f"the rollout of {name} is paused, and nobody has paused it")
            await make_move(control, model, decision)
    return control.routes(control.find(name))


def _profile() -> bytes:
    rng = np.random.default_rng(1)
    features = [to_proto(numeric_profile(name, rng.normal(size=5000))) for name in FEATURES]
    return ReferenceProfile(
        features=features, classes=["0", "1"], predicted_counts=[2500, 2500], rows=5000
    ).SerializeToString()
