"""The edge to operators: QueryWatch over gRPC."""

import asyncio
from typing import Any, Final

from services.query_watch.handlers import WatchHandler
from services.query_watch.store import WatchStore
from slipway.errors import DeadlineExceeded, InvalidInput
from slipway.rpc import aborting, caller
from slipway.v1 import extraction_pb2_grpc
from slipway.v1.extraction_pb2 import (
    ClearSuspectRequest,
    ExtractionCleared,
    ListSuspectsRequest,
    ListSuspectsResponse,
)

_DEADLINE_S: Final = 10.0
_MOST_REASON: Final = 1000


class QueryWatch(extraction_pb2_grpc.QueryWatchServicer):
    """Tells who is suspected, and ends a suspicion."""

    def __init__(self, store: WatchStore, handler: WatchHandler) -> None:
        self._store = store
        self._handler = handler

    async def ListSuspects(self, request: ListSuspectsRequest, context: Any) -> ListSuspectsResponse:
        """Who is suspected now."""
        async with aborting(context):
            try:
                async with asyncio.timeout(_DEADLINE_S):
                    suspects = await self._store.suspects(request.model)
            except TimeoutError as error:
                raise DeadlineExceeded(f"no list of suspects within {_DEADLINE_S:.0f} s") from error
        return ListSuspectsResponse(suspects=suspects)

    async def ClearSuspect(self, request: ClearSuspectRequest, context: Any) -> ExtractionCleared:
        """End one suspicion; what led to it is forgotten."""
        async with aborting(context):
            if not request.reason.strip():
                raise InvalidInput("a reason is required: it stands beside the alarm for good")
            operator = caller(context).principal
            try:
                async with asyncio.timeout(_DEADLINE_S):
                    cleared = await self._handler.clear(
                        request.alarm_id,
                        model=request.model,
                        by=operator,
                        reason=request.reason[:_MOST_REASON],
                    )
            except TimeoutError as error:
                raise DeadlineExceeded(f"not cleared within {_DEADLINE_S:.0f} s; ask again") from error
        return cleared
