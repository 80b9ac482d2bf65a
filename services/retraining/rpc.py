"""The edge to operators: RetrainingControl over gRPC."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from services.retraining import messages
from services.retraining.handlers import Operations
from slipway.errors import DeadlineExceeded
from slipway.identity.actor import actor_of
from slipway.rpc import aborting
from slipway.v1 import retraining_pb2 as pb
from slipway.v1 import retraining_pb2_grpc

_DEADLINE_S: Final = 10.0
_UPLOAD_DEADLINE_S: Final = 300.0
_LOOK_AGAIN_S: Final = 1.0


class RetrainingControl(retraining_pb2_grpc.RetrainingControlServicer):
    """Datasets in, trainings by hand, and what became of them."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    async def RegisterDataset(
        self, request_iterator: AsyncIterator[pb.DatasetChunk], context: Any
    ) -> pb.RegisterDatasetResponse:
        """Store a labelled dataset by its hash."""
        async with aborting(context):
            try:
                async with asyncio.timeout(_UPLOAD_DEADLINE_S):
                    dataset = await self._operations.register_dataset(request_iterator)
            except TimeoutError as error:
                raise DeadlineExceeded(
                    f"the dataset did not arrive within {_UPLOAD_DEADLINE_S:g} s"
                ) from error
        return pb.RegisterDatasetResponse(dataset_id=dataset.dataset_id, rows=dataset.rows)

    async def Train(
        self, request: pb.TrainModelRequest, context: Any
    ) -> AsyncIterator[pb.TrainModelProgress]:
        """Train now; the training goes on when nobody listens any more."""
        async with aborting(context):
            # Who trained may not approve: nobody trains under another's name.
            request.actor = actor_of(context, request.actor)
            request_id = await self._operations.start_training(request)
            try:
                yield pb.TrainModelProgress(stage="queued", message=f"request {request_id}")
                outcome = None
                while outcome is None:
                    for report in await self._operations.reports(request_id, timeout_s=_LOOK_AGAIN_S):
                        yield pb.TrainModelProgress(stage=report.stage, message=report.message)
                    outcome = await self._operations.find_outcome(request_id)
                yield _last(outcome)
            finally:
                self._operations.stop_watching(request_id)

    async def GetTrainingStatus(
        self, request: pb.TrainingStatusRequest, context: Any
    ) -> pb.TrainingStatusResponse:
        """What a model's trainings have come to."""
        async with aborting(context):
            try:
                async with asyncio.timeout(_DEADLINE_S):
                    return await self._operations.status(request.model)
            except TimeoutError as error:
                raise DeadlineExceeded(f"no status of {request.model!r} within {_DEADLINE_S:g} s") from error


def _last(outcome: messages.Event) -> pb.TrainModelProgress:
    if isinstance(outcome, pb.CandidateBlessed):
        return pb.TrainModelProgress(stage="blessed", message=outcome.reason, blessed=outcome)
    if isinstance(outcome, pb.CandidateRejected):
        return pb.TrainModelProgress(stage="rejected", message=outcome.reason, rejected=outcome)
    return pb.TrainModelProgress(stage="insufficient", message=outcome.reason, insufficient=outcome)
