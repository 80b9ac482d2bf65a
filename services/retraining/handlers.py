"""One function per RPC or event: read, decide, write."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from services.retraining import dataset_file, label_rows, messages
from services.retraining.metrics import DATASETS, LABELS, REQUESTS
from services.retraining.progress import ProgressBoard, Report
from services.retraining.settings import Settings
from services.retraining.specs import SpecBook
from services.retraining.store.examples import Dataset, ExampleStore, OffsetRange, StoredExample
from services.retraining.store.jobs import JobStore
from services.retraining.training_desk import TrainingDesk
from services.retraining.version_files import cause_of
from slipway.clock import Clock
from slipway.envelope import Event
from slipway.errors import InvalidInput, NotFound, Overloaded
from slipway.ids import new_id
from slipway.v1 import retraining_pb2 as pb
from slipway.v1.feedback_pb2 import LabelMatched, LabelRetracted
from slipway.v1.rollout_pb2 import RolloutEvent

log = logging.getLogger(__name__)

_NEW_CHAMPION = ("DONE", "ROLLED_BACK")
_LABELS = (LabelMatched, LabelRetracted)  # outcomes, which the topic carries too, teach nothing


class Intake:
    """Takes in what comes by Kafka; everything is stored before the offsets are committed."""

    def __init__(
        self,
        examples: ExampleStore,
        jobs: JobStore,
        *,
        specs: SpecBook,
        desk: TrainingDesk,
        settings: Settings,
    ) -> None:
        self._examples = examples
        self._jobs = jobs
        self._specs = specs
        self._desk = desk
        self._settings = settings

    async def handle(self, events: Sequence[Event]) -> None:
        """Take in one batch.

        Raises:
            InvalidInput: A label that cannot be learned from; nothing of the batch has been stored.
        """
        labels = [(e, await self._example(e)) for e in events if isinstance(e.message, _LABELS)]
        if labels:
            await self._examples.add([example for _, example in labels], _ranges([e for e, _ in labels]))
        for event, example in labels:
            LABELS.labels(example.model, event.message.DESCRIPTOR.name).inc()
        for event in events:
            if isinstance(event.message, RolloutEvent) and event.message.to_state in _NEW_CHAMPION:
                await self._jobs.set_champion(
                    event.message.model, event.message.champion_version, seq=event.message.seq
                )
            if isinstance(event.message, pb.RetrainRequested):
                await self._take(event.message)

    async def _example(self, event: Event) -> StoredExample:
        message: LabelMatched | LabelRetracted = event.message
        if isinstance(message, LabelRetracted):
            return label_rows.retracted(message)
        try:
            applied = await self._specs.wait_for(message.model)
        except NotFound as error:
            raise InvalidInput(str(error)) from error
        return label_rows.matched(message, applied.spec)

    async def _take(self, request: pb.RetrainRequested) -> None:
        if not request.request_id or not request.model:
            raise InvalidInput("retrain request without request_id or model")
        is_full = await self._jobs.count_open(request.model) >= self._settings.max_open_requests
        if not await self._jobs.add(request):
            return
        REQUESTS.labels(request.model, cause_of(request)).inc()
        if is_full:
            await self._desk.refuse(
                request, f"{self._settings.max_open_requests} requests are waiting already"
            )
        self._desk.wake()


class Operations:
    """What operators ask for by gRPC."""

    def __init__(
        self,
        examples: ExampleStore,
        jobs: JobStore,
        *,
        specs: SpecBook,
        desk: TrainingDesk,
        board: ProgressBoard,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._examples = examples
        self._jobs = jobs
        self._specs = specs
        self._desk = desk
        self._board = board
        self._settings = settings
        self._clock = clock

    async def register_dataset(self, chunks: AsyncIterator[pb.DatasetChunk]) -> Dataset:
        """Store a labelled dataset; the same bytes a second time change nothing.

        Raises:
            NotFound: The model is not known.
            InvalidInput: Too large, or not data of this model.
        """
        model, name, parquet = await self._collect(chunks)
        spec = (await self._specs.wait_for(model)).spec
        dataset_id = dataset_file.dataset_id_of(parquet)
        try:
            return await self._examples.find_dataset(model, dataset_id)
        except NotFound:
            examples = await asyncio.to_thread(dataset_file.read_examples, parquet, spec)
        dataset = Dataset(model=model, dataset_id=dataset_id, name=name, rows=len(examples))
        await self._examples.add_dataset(dataset, examples)
        DATASETS.labels(model).inc()
        log.info("dataset registered", extra={"model": model, "dataset": dataset_id, "rows": len(examples)})
        return dataset

    async def _collect(self, chunks: AsyncIterator[pb.DatasetChunk]) -> tuple[str, str, bytes]:
        model, name, parquet = "", "", bytearray()
        async for chunk in chunks:
            model, name = model or chunk.model, name or chunk.name
            parquet += chunk.parquet
            if len(parquet) > self._settings.max_dataset_bytes:
                raise InvalidInput(f"dataset is larger than {self._settings.max_dataset_bytes} bytes")
        if not model or not parquet:
            raise InvalidInput("dataset: the first chunk must name the model, and some chunk must hold bytes")
        return model, name, bytes(parquet)

    async def start_training(self, asked: pb.TrainModelRequest) -> str:
        """Take an operator's request; returns its id.

        Raises:
            NotFound: The model is not known.
            Overloaded: Too many of its requests are waiting.
        """
        applied = await self._specs.wait_for(asked.model)
        if await self._jobs.count_open(asked.model) >= self._settings.max_open_requests:
            raise Overloaded(
                f"model {asked.model}: {self._settings.max_open_requests} requests are waiting already"
            )
        is_first = not await self._jobs.find_champion(asked.model)
        request = pb.RetrainRequested(
            request_id=new_id(),
            tenant=applied.message.tenant,
            model=asked.model,
            cause=pb.RETRAIN_CAUSE_INITIAL if is_first else pb.RETRAIN_CAUSE_MANUAL,
            evidence=asked.evidence,
            actor=asked.actor or "operator",
        )
        request.requested_at.FromNanoseconds(int(self._clock.now_s() * 1e9))
        self._board.watch(request.request_id)
        await self._jobs.add(request)
        REQUESTS.labels(request.model, cause_of(request)).inc()
        self._desk.wake()
        return request.request_id

    async def reports(self, request_id: str, *, timeout_s: float) -> list[Report]:
        """What a watched request has come to since the last look."""
        return [report async for report in self._board.take(request_id, timeout_s=timeout_s)]

    async def find_outcome(self, request_id: str) -> messages.Event | None:
        """A request's decision; None while it is open."""
        found = await self._jobs.find_decision(request_id)
        return None if found is None else messages.EVENT_TYPES[found[0]].FromString(found[1])

    def stop_watching(self, request_id: str) -> None:
        """Forget a request's reports."""
        self._board.unwatch(request_id)

    async def status(self, model: str) -> pb.TrainingStatusResponse:
        """What a model's trainings have come to.

        Raises:
            NotFound: The model is not known.
        """
        self._specs.find(model)
        counts = await self._jobs.counts(model)
        return pb.TrainingStatusResponse(
            is_training=counts.running > 0,
            stage=self._board.stage(model),
            examples=await self._examples.count(model),
            trainings=counts.blessed + counts.rejected + counts.insufficient,
            blessed=counts.blessed,
            rejected=counts.rejected,
            insufficient=counts.insufficient,
            last_outcome=counts.last_outcome,
            open_requests=counts.open,
        )


@dataclass(slots=True)
class _Span:
    first: int
    last: int


def _ranges(events: Sequence[Event]) -> list[OffsetRange]:
    spans: dict[tuple[str, int], _Span] = {}
    for event in events:
        span = spans.setdefault((event.message.model, event.partition), _Span(event.offset, event.offset))
        span.first, span.last = min(span.first, event.offset), max(span.last, event.offset)
    return [
        OffsetRange(model=model, partition=partition, first=span.first, last=span.last)
        for (model, partition), span in spans.items()
    ]
