"""The edge to operators: FeedbackQueries over gRPC."""

import asyncio
from typing import Any, Final

from services.feedback.store.summaries import SummaryStore
from slipway.errors import DeadlineExceeded
from slipway.rpc import aborting
from slipway.v1 import feedback_pb2_grpc
from slipway.v1.feedback_pb2 import SummarizeFeedbackRequest, SummarizeFeedbackResponse

_DEADLINE_S: Final = 10.0


class FeedbackQueries(feedback_pb2_grpc.FeedbackQueriesServicer):
    """Answers what became of feedback."""

    def __init__(self, store: SummaryStore) -> None:
        self._store = store

    async def Summarize(self, request: SummarizeFeedbackRequest, context: Any) -> SummarizeFeedbackResponse:
        """Count what is kept of one model; of all when none is named."""
        async with aborting(context):
            try:
                async with asyncio.timeout(_DEADLINE_S):
                    summary = await self._store.summarize(request.model)
            except TimeoutError as error:
                raise DeadlineExceeded(
                    f"no summary of {request.model!r} within {_DEADLINE_S:.0f} s"
                ) from error
        return SummarizeFeedbackResponse(
            rows_by_state=summary.rows_by_state,
            quarantined_by_reason=summary.quarantined_by_reason,
            parked=summary.parked,
            predictions=summary.predictions,
            prediction_doubles=summary.prediction_doubles,
        )
