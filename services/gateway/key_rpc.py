"""gRPC of API keys, for administrators."""

from datetime import datetime
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.handlers.keys import Keys
from services.gateway.store import KeyRow
from slipway.errors import NotFound
from slipway.policy.engine import Policies
from slipway.policy.resource import Resource
from slipway.rpc import aborting, caller
from slipway.v1 import keys_pb2
from slipway.v1.keys_pb2_grpc import KeyAdminServicer

KEYS_SERVICE: Final = "slipway.v1.KeyAdmin"


class KeyService(KeyAdminServicer):
    """API keys, for those who may administer them in their tenant."""

    def __init__(self, keys: Keys, policies: Policies) -> None:
        self._keys = keys
        self._policies = policies

    async def CreateKey(self, request: keys_pb2.CreateKeyRequest, context: Any) -> keys_pb2.CreateKeyResponse:
        """Make a key and show it once."""
        async with aborting(context):
            row, text = await self._keys.create(
                request.principal,
                request.tenant,
                roles=request.roles,
                ttl_s=request.ttl_s,
                actor=caller(context).principal,
            )
        return keys_pb2.CreateKeyResponse(info=_info(row), secret=text)

    async def RotateKey(self, request: keys_pb2.RotateKeyRequest, context: Any) -> keys_pb2.CreateKeyResponse:
        """Make a key in place of another and show it once."""
        async with aborting(context):
            await self._check(request.key_id, context)
            row, text = await self._keys.rotate(
                request.key_id,
                overlap_s=request.overlap_s,
                ttl_s=request.ttl_s,
                actor=caller(context).principal,
            )
        return keys_pb2.CreateKeyResponse(info=_info(row), secret=text)

    async def ListKeys(self, _request: keys_pb2.ListKeysRequest, context: Any) -> keys_pb2.ListKeysResponse:
        """All keys that the caller administers."""
        async with aborting(context):
            rows = await self._administered(context)
        return keys_pb2.ListKeysResponse(keys=[_info(row) for row in rows])

    async def RevokeKey(self, request: keys_pb2.RevokeKeyRequest, context: Any) -> keys_pb2.KeyInfo:
        """Take a key out of force."""
        async with aborting(context):
            await self._check(request.key_id, context)
            row = await self._keys.revoke(request.key_id)
        return _info(row)

    async def _check(self, key_id: str, context: Any) -> None:
        """Another tenant's key is as one that does not exist."""
        if all(row.key_id != key_id for row in await self._administered(context)):
            raise NotFound(f"there is no API key {key_id[:60]!r}; `slipway keys list` shows all")

    async def _administered(self, context: Any) -> list[KeyRow]:
        who, rows = caller(context), await self._keys.list_all()
        self._policies.authorize(who, "keys", Resource(tenant=who.tenant))
        return [row for row in rows if self._policies.allows(who, "keys", Resource(tenant=row.tenant))]


def _info(row: KeyRow) -> keys_pb2.KeyInfo:
    return keys_pb2.KeyInfo(
        key_id=row.key_id,
        principal=row.principal,
        tenant=row.tenant,
        roles=row.roles,
        created_at=_stamp(row.created_at),
        expires_at=_stamp(row.expires_at),
        revoked_at=_stamp(row.revoked_at),
        created_by=row.created_by,
        rotated_from=row.rotated_from,
    )


def _stamp(at: datetime | None) -> Timestamp | None:
    if at is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp
