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
_FOLLOW_S: Final = 0.3
Call = Callable[[Any, dict[str, Any]], Awaitable[T]]


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """Where the services answer, and the operator's token."""

    environment: Mapping[str, str] = field(default_factory=lambda: {**cli_environment(), **os.environ})

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Call metadata with the operator's token.

        Raises:
            InvalidInput: There is no token yet.
        """
        path = Path(self.environment["SLIPWAY_SECRETS_DIR"]) / rpc.OPERATOR_TOKEN_FILE
        if not path.is_file():
            raise InvalidInput(f"there is no operator token at {path}; `slipway up` makes it")
        return rpc.operator_metadata(path.read_text().strip())

    async def call(
        self, service: str, stub: Callable[[Any], Any], method: Call[T], *, deadline_s: float = DEADLINE_S
    ) -> T:
        """Call one service by its name, e.g. `rollout`.

        Raises:
            SlipwayError: It is away or refused.
        """
        target = self.environment[f"SLIPWAY_{service.upper()}_TARGET"]
        how = {"metadata": self.metadata(), "timeout": deadline_s}
        async with rpc.channel(target) as channel:
            with rpc.translating(service):
                return await method(stub(channel), how)

    async def rollout(self, method: Call[T]) -> T:
        """Call the rollout service."""
        return await self.call("rollout", RolloutControlStub, method)

    async def status(self, model: str, *, events: int = 10) -> rollout_pb2.RolloutStatus:
        """Where a model stands."""
        request = rollout_pb2.RolloutStatusRequest(model=model, events=events)
        return await self.rollout(lambda stub, how: stub.GetStatus(request, **how))

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
