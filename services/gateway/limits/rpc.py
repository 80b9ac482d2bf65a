"""gRPC: how the limits stand, for operators."""

from collections.abc import AsyncIterator
from typing import Any, Final, Literal

from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.domain.limit_windows import window_of
from services.gateway.limits.limits import Account, Limits
from services.gateway.limits.rules import Bucket, Rule, Rules
from services.gateway.limits.settlement import Settlement
from services.gateway.limits.terms import StoreState
from slipway.clock import Clock
from slipway.errors import Unavailable
from slipway.limits_file import MICROS
from slipway.rpc import aborting
from slipway.v1 import limits_pb2
from slipway.v1.limits_pb2_grpc import LimitsAdminServicer
from slipway.watched_files import WatchedFiles

LIMITS_SERVICE: Final = "slipway.v1.LimitsAdmin"
POSTGRES: Final = "postgresql"
GATEWAY: Final = "gateway"
_MOST: Final = 1000  # buckets in one answer, of each limit


class LimitsService(LimitsAdminServicer):
    """Budgets as PostgreSQL has them, rates and caps as this gateway has them."""

    def __init__(
        self,
        limits: Limits,
        settlement: Settlement,
        *,
        files: WatchedFiles[Rules],
        state: StoreState,
        clock: Clock,
    ) -> None:
        self._limits = limits
        self._settlement = settlement
        self._files = files
        self._state = state
        self._clock = clock

    async def ShowLimits(
        self, request: limits_pb2.ShowLimitsRequest, context: Any
    ) -> limits_pb2.ShowLimitsResponse:
        """How all limits stand, or those of one tenant, principal or model."""
        answer = limits_pb2.ShowLimitsResponse(
            file_digest=self._files.digest,
            file_problem=self._files.problem,
            store_is_away=self._state.is_away,
            gateways=self._state.gateways,
        )
        asked = (request.tenant, request.principal, request.model)
        async with aborting(context):
            for rule in self._limits.rules.limits:
                async for standing, bucket in self._standings(rule):
                    if all(
                        not want or have in (None, want) for want, have in zip(asked, bucket, strict=True)
                    ):
                        answer.limits.append(standing)
        return answer

    async def _standings(self, rule: Rule) -> AsyncIterator[tuple[limits_pb2.LimitStanding, Bucket]]:
        if rule.kind == "budget":
            try:
                async for found in self._settled(rule):
                    yield found
            except Unavailable:
                pass  # what this gateway knows is better than nothing
            else:
                return
        for (own, bucket), account in list(self._limits.accounts.items())[:_MOST]:
            if own == rule:
                yield self._known(rule, bucket, account), bucket

    async def _settled(self, rule: Rule) -> AsyncIterator[tuple[limits_pb2.LimitStanding, Bucket]]:
        per: Literal["day", "month"] = "day" if rule.per == "day" else "month"
        window = window_of(self._clock.now_s(), per)
        for bucket, used in await self._settlement.buckets(rule, window, most=_MOST):
            standing = self._about(rule, bucket, used=used, left=rule.value - used)
            standing.source = POSTGRES
            standing.resets_at.CopyFrom(_timestamp(window.end_s))
            yield standing, bucket

    def _known(self, rule: Rule, bucket: Bucket, account: Account) -> limits_pb2.LimitStanding:
        now_s, wall_s = self._clock.monotonic_s(), self._clock.now_s()
        told = account.standing(now_s, wall_s)
        whole = rule.burst if rule.kind == "rate" else rule.value
        standing = self._about(rule, bucket, used=whole - told.left, left=told.left)
        standing.source = GATEWAY
        if told.reset_s is not None:
            standing.resets_at.CopyFrom(_timestamp(wall_s + told.reset_s))
        return standing

    def _about(self, rule: Rule, bucket: Bucket, *, used: int, left: int) -> limits_pb2.LimitStanding:
        scale = MICROS if rule.unit == "cost" else 1
        tenant, principal, model = bucket
        return limits_pb2.LimitStanding(
            name=rule.name,
            kind=rule.kind,
            counts=rule.counts,
            unit=rule.unit,
            text=rule.text,
            tenant=tenant,
            principal=principal,
            model=model,
            value=rule.value / scale,
            used=used / scale,
            left=max(0, left) / scale,
            overshoot_bound=rule.lease * self._state.gateways / scale if rule.is_leased else 0,
            when_store_is_away=("refuse" if rule.refuses_alone else "local") if rule.is_leased else "",
        )


def _timestamp(at_s: float) -> Timestamp:
    return Timestamp(seconds=int(at_s), nanos=int((at_s % 1) * 1e9))
