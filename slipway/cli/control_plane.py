"""Calls of the command line to the services' operator ports."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from slipway import rpc
from slipway.errors import InvalidInput
from slipway.stack.environment import cli_environment
from slipway.v1 import rollout_pb2
from slipway.v1.rollout_pb2_grpc import RolloutControlStub

T = TypeVar("T")

DEADLINE_S: Final = 10.0
ACTOR: Final = "operator"
OPERATOR_TOKEN: Final = "SLIPWAY_OPERATOR_TOKEN"
_FOR_PEOPLE: Final = frozenset({"rollout", "gateway_admin", "query_watch"})
_FOLLOW_S: Final = 0.3
_AT_ONCE: Final = 16
Call = Callable[[Any, dict[str, Any]], Awaitable[T]]


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """Where the services answer, and whose token they are shown.

    Attributes:
        operator_token_file: The API key of whoever calls, for the services that people command by name.
    """

    environment: Mapping[str, str] = field(default_factory=lambda: {**cli_environment(), **os.environ})
    operator_token_file: Path | None = None

    def metadata(self, service: str) -> tuple[tuple[str, str], ...]:
        """Call metadata with the caller's own key where people command by name, else with the stack's token.

        Raises:
            InvalidInput: There is neither.
        """
        own = self._own_token()
        path = Path(self.environment["SLIPWAY_SECRETS_DIR"]) / rpc.OPERATOR_TOKEN_FILE
        if own and (service in _FOR_PEOPLE or not path.is_file()):
            return rpc.operator_metadata(own)
        if not path.is_file():
            raise InvalidInput(f"there is no operator token at {path}; `slipway up` makes it")
        return rpc.operator_metadata(path.read_text().strip())

    def _own_token(self) -> str:
        if self.operator_token_file is None:
            return self.environment.get(OPERATOR_TOKEN, "").strip()
        try:
            return self.operator_token_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"cannot read the key: {error}") from error

    async def call(
        self, service: str, stub: Callable[[Any], Any], method: Call[T], *, deadline_s: float = DEADLINE_S
    ) -> T:
        """Call one service by its name, e.g. `rollout`.

        Raises:
            SlipwayError: It is away or refused.
        """
        target = self.environment[f"SLIPWAY_{service.upper()}_TARGET"]
        how = {"metadata": self.metadata(service), "timeout": deadline_s}
        async with rpc.channel(target) as channel:
            with rpc.translating(service):
                return await method(stub(channel), how)

    async def rollout(self, method: Call[T], *, deadline_s: float = DEADLINE_S) -> T:
        """Call the rollout service."""
        return await self.call("rollout", RolloutControlStub, method, deadline_s=deadline_s)

    async def status(
        self, model: str, *, events: int = 10, deadline_s: float = DEADLINE_S
    ) -> rollout_pb2.RolloutStatus:
        """Where a model stands."""
        request = rollout_pb2.RolloutStatusRequest(model=model, events=events)
        return await self.rollout(lambda stub, how: stub.GetStatus(request, **how), deadline_s=deadline_s)

    async def follow(
        self, model: str, version: str, *, tell: Callable[[rollout_pb2.RolloutStatus], None]
    ) -> rollout_pb2.RolloutStatus:
        """Show each state of a version's rollout until it ends or another follows; returns the last one."""
        while True:
            status = await self.status(model)
            tell(status)
            if _has_ended(status, version):
                return status
            await asyncio.sleep(_FOLLOW_S)


def _has_ended(status: rollout_pb2.RolloutStatus, version: str) -> bool:
    is_waiting = f"version {version} waits" in status.explanation
    return status.version != version and not is_waiting


def champion_of(status: rollout_pb2.RolloutStatus) -> str:
    """The version that answers; empty: none yet."""
    return next((arm.version for arm in status.routes.arms if arm.role == "champion"), "")


async def list_statuses(plane: ControlPlane) -> list[rollout_pb2.RolloutStatus]:
    """Where every model stands, a bounded number asked at once."""
    listed = await plane.rollout(lambda stub, how: stub.ListModels(rollout_pb2.ListModelsRequest(), **how))
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(name: str) -> rollout_pb2.RolloutStatus:
        async with turns:
            return await plane.status(name, events=0)

    return list(await asyncio.gather(*map(one, listed.models)))
