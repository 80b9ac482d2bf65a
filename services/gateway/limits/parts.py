"""How the limits' part of the gateway is put together."""

import asyncio
import logging
import secrets
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from services.gateway import metrics
from services.gateway.cache.shared import connect
from services.gateway.limits.leasing import Leasing
from services.gateway.limits.limits import Limits
from services.gateway.limits.rpc import LIMITS_SERVICE, LimitsService
from services.gateway.limits.rules import Rules, watch_rules
from services.gateway.limits.settlement import Settlement
from services.gateway.limits.store import TIMEOUT_S, LeaseStore
from services.gateway.limits.terms import StoreState
from services.gateway.limits.usage import Usage
from services.gateway.settings import Settings
from slipway.clock import Clock
from slipway.process import Process
from slipway.rpc import RpcServer
from slipway.snapshots import write_atomically
from slipway.v1.limits_pb2_grpc import add_LimitsAdminServicer_to_server
from slipway.watched_files import WatchedFiles

log = logging.getLogger(__name__)

_GATEWAYS_FILE: Final = "limits.gateways"
_HOLDER_BYTES: Final = 8
_TELL_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitParts:
    """The limits, and what operators see of them."""

    limits: Limits
    service: LimitsService

    def serve(self, admin: RpcServer) -> None:
        """Let operators look."""
        admin.add(add_LimitsAdminServicer_to_server, self.service, service=LIMITS_SERVICE)


def add_limits(process: Process, settings: Settings, *, clock: Clock) -> LimitParts:
    """Open the file of limits, and keep leases and usage in the background.

    Raises:
        InvalidInput: The file cannot be enforced as it stands; a gateway must not start then.
    """
    files = watch_rules(settings.access_dir, has_store=bool(settings.redis_url))
    known = settings.state_dir / _GATEWAYS_FILE
    state, usage = StoreState(gateways=_read_count(known)), Usage()
    holder = secrets.token_hex(_HOLDER_BYTES)
    settlement = Settlement(settings.postgres_dsn, usage, holder=holder)
    limits = Limits(files, state=state, usage=usage, clock=clock)
    process.spawn("usage", settlement.run)
    process.spawn("limits file", files.run)
    process.spawn("limits gauges", partial(_tell, files, state))
    if settings.redis_url:
        leasing = Leasing(
            LeaseStore(connect(settings.redis_url, timeout_s=TIMEOUT_S), holder=holder),
            settlement,
            state=state,
            clock=clock,
            keep=partial(_write_count, known),
        )
        limits.lease_by(leasing)
        process.spawn("leases", leasing.run)
    service = LimitsService(limits, settlement, files=files, state=state, clock=clock)
    return LimitParts(limits=limits, service=service)


async def _tell(files: WatchedFiles[Rules], state: StoreState, stop: asyncio.Event) -> None:
    """Keep the gauges that follow the file."""
    while not stop.is_set():
        metrics.LIMITS_FILE.set(not files.problem)
        for rule in files.current.limits:
            metrics.LIMITS_BOUND.labels(rule.name).set(rule.lease * state.gateways if rule.is_leased else 0)
        try:
            async with asyncio.timeout(_TELL_S):
                await stop.wait()
        except TimeoutError:
            continue


def _read_count(path: Path) -> int:
    """How many gateways there were when this one last knew."""
    text = path.read_text().strip() if path.is_file() else ""
    return max(1, int(text)) if text.isdecimal() else 1


def _write_count(path: Path, count: int) -> None:
    try:
        write_atomically(path, str(count).encode())
    except OSError as error:
        log.warning("the number of gateways is not kept", extra={"error": repr(error)})
