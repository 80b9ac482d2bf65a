"""RolloutNotices over gRPC: decode, call one handler, encode."""

from typing import Any

from services.rollout.control import Control
from services.rollout.domain.roles import check_is_admin
from services.rollout.notice_delivery import receiver_of
from services.rollout.notice_store import NoticeRow, NoticeStore
from slipway import webhook
from slipway.rpc import aborting, caller
from slipway.v1 import notices_pb2, notices_pb2_grpc


class RolloutNotices(notices_pb2_grpc.RolloutNoticesServicer):
    """What became of notices, and how a receiver knows them."""

    def __init__(self, control: Control, store: NoticeStore, *, key: bytes) -> None:
        self._control = control
        self._store = store
        self._key = key

    async def ListFailedNotices(self, request: notices_pb2.ListFailedNoticesRequest, context: Any) -> Any:
        """Those that did not arrive."""
        async with aborting(context):
            self._control.find(request.model)
            rows = await self._store.load_failed(request.model)
            return notices_pb2.ListFailedNoticesResponse(notices=map(_failed, rows))

    async def GetNoticeSecret(self, request: notices_pb2.NoticeSecretRequest, context: Any) -> Any:
        """The secret of a model's notices."""
        async with aborting(context):
            who = caller(context)
            check_is_admin(who.principal, who.roles)
            row = self._control.find(request.model).row
            secret = webhook.notice_secret_of(self._key, tenant=row.tenant, model=row.model)
            return notices_pb2.NoticeSecret(secret=webhook.text_of(secret))


def _failed(row: NoticeRow) -> notices_pb2.FailedNotice:
    notice = notices_pb2.FailedNotice(
        id=row.id,
        kind=row.kind,
        receiver=receiver_of(row.url),
        state=row.state,
        tries=row.tries,
        reason=row.reason,
    )
    notice.created_at.FromMicroseconds(round(row.created_at_s * 1e6))
    return notice
