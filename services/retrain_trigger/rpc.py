"""The edge to operators: RetrainTriggerQueries over gRPC."""

import asyncio
from typing import Any, Final

from services.retrain_trigger.domain.state import TriggerState
from services.retrain_trigger.store import TriggerStore
from slipway.errors import DeadlineExceeded, NotFound
from slipway.rpc import aborting
from slipway.v1 import retraining_pb2_grpc
from slipway.v1.retraining_pb2 import ExplainRequest, ExplainResponse

_DEADLINE_S: Final = 10.0


class RetrainTriggerQueries(retraining_pb2_grpc.RetrainTriggerQueriesServicer):
    """Answers why a model was trained, and why it was not."""

    def __init__(self, store: TriggerStore) -> None:
        self._store = store

    async def Explain(self, request: ExplainRequest, context: Any) -> ExplainResponse:
        """One model's decisions, newest first, and where it stands."""
        async with aborting(context):
            try:
                async with asyncio.timeout(_DEADLINE_S):
                    state = await self._store.find(request.model)
                    lines = await self._store.lines(request.model)
            except TimeoutError as error:
                raise DeadlineExceeded(
                    f"no explanation of {request.model!r} within {_DEADLINE_S:.0f} s"
                ) from error
            if state is None:
                raise NotFound(f"nothing has happened to model {request.model!r} yet; is the name right?")
        return _response(state, lines)


def _response(state: TriggerState, lines: list[str]) -> ExplainResponse:
    return ExplainResponse(
        lines=lines,
        requests=state.requests,
        declined=state.declined,
        cool_down_rows_left=state.cool_down_rows_left,
        rows_since_training=state.rows_since_training,
        open_request_id=state.open_request.request_id if state.open_request else "",
    )
