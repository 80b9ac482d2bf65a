"""OperatorAdmin and RolloutNotices over gRPC: decode, call one handler, encode."""

from typing import Any

from services.rollout.control import Control
from services.rollout.domain.operator import check_is_admin
from services.rollout.notice_delivery import receiver_of
from services.rollout.notice_store import NoticeRow, NoticeStore
from services.rollout.operator_book import OperatorBook
from services.rollout.operator_store import OperatorRow
from slipway import webhook
from slipway.identity.caller import Caller
from slipway.rpc import aborting, caller
from slipway.v1 import notices_pb2, notices_pb2_grpc, operators_pb2, operators_pb2_grpc


class OperatorAdmin(operators_pb2_grpc.OperatorAdminServicer):
    """The administrator's way to operators."""

    def __init__(self, book: OperatorBook) -> None:
        self._book = book

    async def AddOperator(self, request: operators_pb2.AddOperatorRequest, context: Any) -> Any:
        """Make an operator and show his token, this once."""
        async with aborting(context):
            admin = _admin(context)
            row, token = await self._book.add(request.name, list(request.roles), actor=admin.principal)
            return operators_pb2.AddOperatorResponse(info=_info(row), token=token)

    async def ListOperators(self, _request: operators_pb2.ListOperatorsRequest, context: Any) -> Any:
        """All operators, revoked ones too."""
        async with aborting(context):
            _admin(context)
            rows = await self._book.list()
            return operators_pb2.ListOperatorsResponse(operators=map(_info, rows))

    async def RevokeOperator(self, request: operators_pb2.RevokeOperatorRequest, context: Any) -> Any:
        """Take a token back."""
        async with aborting(context):
            _admin(context)
            return _info(await self._book.revoke(request.name))


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
            _admin(context)
            row = self._control.find(request.model).row
            secret = webhook.notice_secret_of(self._key, tenant=row.tenant, model=row.model)
            return notices_pb2.NoticeSecret(secret=webhook.text_of(secret))


def _admin(context: Any) -> Caller:
    who = caller(context)
    check_is_admin(who.principal, who.roles)
    return who


def _info(row: OperatorRow) -> operators_pb2.OperatorInfo:
    info = operators_pb2.OperatorInfo(name=row.name, roles=row.roles, created_by=row.created_by)
    info.created_at.FromMicroseconds(round(row.created_at_s * 1e6))
    if row.revoked_at_s is not None:
        info.revoked_at.FromMicroseconds(round(row.revoked_at_s * 1e6))
    return info


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
