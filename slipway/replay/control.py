"""What a replay asks of the operators' RPCs: a key, a spec, a first version, and how things stand."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import grpc.aio
import pandas as pd

from slipway.errors import Conflict, DeadlineExceeded, SlipwayError, Unavailable
from slipway.replay.stream import Stream
from slipway.rpc import operator_metadata, translating
from slipway.v1 import (
    feedback_pb2,
    feedback_pb2_grpc,
    keys_pb2,
    keys_pb2_grpc,
    retraining_pb2,
    retraining_pb2_grpc,
    rollout_pb2,
    rollout_pb2_grpc,
)

LIVE: Final = ("WARMING", "CANARY", "BAKE")
_TAKEN_BACK: Final = ("ABORTED", "ROLLED_BACK")
_CALL_S: Final = 10.0
_TRAIN_S: Final = 600.0
_SERVE_S: Final = 180.0
_CHUNK_BYTES: Final = 1024 * 1024
_POLL_S: Final = 0.05
ACTOR: Final = "replay"


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """One channel to each service that is asked."""

    gateway_admin: grpc.aio.Channel
    rollout: grpc.aio.Channel
    retraining: grpc.aio.Channel
    feedback: grpc.aio.Channel


class Control:
    """The operator's side of a replay."""

    def __init__(self, channels: Channels, *, operator_token: str) -> None:
        self._keys = keys_pb2_grpc.KeyAdminStub(channels.gateway_admin)
        self._rollout = rollout_pb2_grpc.RolloutControlStub(channels.rollout)
        self._retraining = retraining_pb2_grpc.RetrainingControlStub(channels.retraining)
        self._feedback = feedback_pb2_grpc.FeedbackQueriesStub(channels.feedback)
        self._metadata = operator_metadata(operator_token)

    async def create_key(self) -> tuple[str, str]:
        """A fresh API key: its id and its text."""
        with translating("gateway"):
            made = await self._keys.CreateKey(
                keys_pb2.CreateKeyRequest(principal=ACTOR), timeout=_CALL_S, metadata=self._metadata
            )
        return made.info.key_id, made.secret

    async def revoke_key(self, key_id: str) -> None:
        """End the replay's key."""
        with translating("gateway"):
            await self._keys.RevokeKey(
                keys_pb2.RevokeKeyRequest(key_id=key_id), timeout=_CALL_S, metadata=self._metadata
            )

    async def models(self) -> set[str]:
        """Names that are taken."""
        with translating("rollout"):
            answer = await self._rollout.ListModels(
                rollout_pb2.ListModelsRequest(), timeout=_CALL_S, metadata=self._metadata
            )
        return set(answer.models)

    async def apply(self, stream: Stream) -> None:
        """Declare the model."""
        with translating("rollout"):
            await self._rollout.ApplySpec(
                rollout_pb2.ApplySpecRequest(yaml=stream.yaml, recipe=stream.recipe, actor=ACTOR),
                timeout=_CALL_S,
                metadata=self._metadata,
            )

    async def train_first(self, stream: Stream, rows: int, *, tell: Callable[[str], None]) -> str:
        """Train version 1 on the first rows; returns its version.

        Raises:
            Conflict: The gate did not bless it, with its reason.
        """
        table = stream.features.iloc[:rows].assign(**{stream.spec.label.name: stream.labels[:rows]})
        model = stream.spec.name
        await self._until_known(model)
        with translating("retraining"):
            dataset = await self._retraining.RegisterDataset(
                _chunks(table, model=model, name=f"{stream.name}, first {rows} rows"),
                timeout=_TRAIN_S,
                metadata=self._metadata,
            )
            tell(f"dataset {dataset.dataset_id[:12]} with {dataset.rows} rows is registered")
            request = retraining_pb2.TrainModelRequest(
                model=model, actor=ACTOR, evidence="first version of a replay"
            )
            async for progress in self._retraining.Train(request, timeout=_TRAIN_S, metadata=self._metadata):
                match progress.WhichOneof("outcome"):
                    case None:
                        tell(f"{progress.stage}: {progress.message}")
                    case "blessed":
                        return str(progress.blessed.version)
                    case outcome:
                        raise Conflict(f"version 1 was not blessed: {getattr(progress, outcome).reason}")
        raise Unavailable("retraining ended its answer without an outcome")

    async def _until_known(self, model: str) -> None:
        """The spec travels to retraining by a topic: wait until it has arrived."""
        async with asyncio.timeout(_CALL_S):
            while True:
                try:
                    await self.training(model)
                    return
                except SlipwayError as error:
                    if error.retriable:
                        raise
                await asyncio.sleep(_POLL_S)

    async def until_serving(self, model: str, version: str) -> None:
        """Wait until a version takes all traffic."""
        status = await self.rollout(model)
        try:
            async with asyncio.timeout(_SERVE_S):
                while not _is_champion(status, version) or status.state in LIVE:
                    if (
                        status.state not in LIVE
                        and status.events
                        and status.events[0].to_state in _TAKEN_BACK
                    ):
                        raise Conflict(f"{model} version {version} is not served: {status.events[0].reason}")
                    await asyncio.sleep(_POLL_S)
                    status = await self.rollout(model)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"{model} version {version} is not served after {_SERVE_S:.0f} s: {status.explanation}"
            ) from error

    async def rollout(self, model: str) -> rollout_pb2.RolloutStatus:
        """How the rollout stands."""
        with translating("rollout"):
            answer: rollout_pb2.RolloutStatus = await self._rollout.GetStatus(
                rollout_pb2.RolloutStatusRequest(model=model, events=1),
                timeout=_CALL_S,
                metadata=self._metadata,
            )
        return answer

    async def training(self, model: str) -> retraining_pb2.TrainingStatusResponse:
        """How training stands."""
        with translating("retraining"):
            answer: retraining_pb2.TrainingStatusResponse = await self._retraining.GetTrainingStatus(
                retraining_pb2.TrainingStatusRequest(model=model), timeout=_CALL_S, metadata=self._metadata
            )
        return answer

    async def labels(self, model: str) -> feedback_pb2.SummarizeFeedbackResponse:
        """How many rows have their label."""
        with translating("feedback"):
            answer: feedback_pb2.SummarizeFeedbackResponse = await self._feedback.Summarize(
                feedback_pb2.SummarizeFeedbackRequest(model=model), timeout=_CALL_S, metadata=self._metadata
            )
        return answer


def _is_champion(status: rollout_pb2.RolloutStatus, version: str) -> bool:
    return any(arm.role == "champion" and arm.version == version for arm in status.routes.arms)


async def _chunks(
    table: pd.DataFrame, *, model: str, name: str
) -> AsyncIterator[retraining_pb2.DatasetChunk]:
    buffer = BytesIO()
    table.to_parquet(buffer, index=False)
    data = buffer.getvalue()
    for at in range(0, len(data), _CHUNK_BYTES):
        first = {"model": model, "name": name} if at == 0 else {}
        yield retraining_pb2.DatasetChunk(parquet=data[at : at + _CHUNK_BYTES], **first)


def free_name(wanted: str, taken: set[str]) -> str:
    """`wanted`, or with the first number that is free: a replay never disturbs a model in service."""
    number = 2
    name = wanted
    while name in taken:
        name, number = f"{wanted}-{number}", number + 1
    return name
