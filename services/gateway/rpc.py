"""gRPC: the Open Inference Protocol, and feedback intake."""

from collections.abc import Iterable
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from services.gateway import oip as protocol
from services.gateway.domain.contract import Contract
from services.gateway.handlers.feedback import FeedbackDoor
from services.gateway.handlers.models import Models
from services.gateway.handlers.predict import Predictions
from slipway.errors import InvalidInput, SlipwayError
from slipway.identity.credentials import of_call
from slipway.oip import open_inference_pb2 as oip
from slipway.rpc import aborting, retry_metadata, status_of
from slipway.signature import TensorSpec
from slipway.v1 import feedback_pb2

OIP_SERVICE: Final = "inference.GRPCInferenceService"
FEEDBACK_SERVICE: Final = "slipway.v1.FeedbackIntake"
_LONGEST_DETAILS: Final = 1000  # details travel in a header, which clients bound at 8 KiB

M = TypeVar("M", bound=Message)


def arm_of(metadata: Iterable[tuple[str, Any]]) -> str:
    """The role of the arm that a tester chose; empty where nobody did."""
    for name, value in metadata:
        if name == "slipway-arm":
            return str(value)
    return ""


def register_raw(name: str, methods: dict[str, Any]) -> Any:
    """How to add a service whose methods take and give bytes: they see a request before it is parsed."""

    def register(_servicer: object, server: Any) -> None:
        handlers: dict[str, Any] = {
            method: grpc.unary_unary_rpc_method_handler(call) for method, call in methods.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))

    return register


class InferenceService:
    """The six RPCs of the Open Inference Protocol; of Triton's, a model's configuration and the index."""

    def __init__(self, predictions: Predictions, models: Models, *, version: str) -> None:
        self._predictions = predictions
        self._models = models
        self._version = version

    @property
    def methods(self) -> dict[str, Any]:
        """By name."""
        standard = (
            "ServerLive",
            "ServerReady",
            "ModelReady",
            "ServerMetadata",
            "ModelMetadata",
            "ModelInfer",
        )
        return {name: getattr(self, name) for name in (*standard, "ModelConfig", "RepositoryIndex")}

    async def ModelInfer(self, data: bytes, context: Any) -> bytes:
        """Predict."""
        try:
            return await self._predictions.infer(
                data,
                credentials=of_call(context),
                budget_s=context.time_remaining(),
                arm=arm_of(context.invocation_metadata()),
                tell=context.set_trailing_metadata,
            )
        except SlipwayError as error:
            await context.abort(status_of(error), str(error)[:_LONGEST_DETAILS], retry_metadata(error))
            raise

    async def ServerLive(self, _data: bytes, _context: Any) -> bytes:
        """The process lives."""
        return oip.ServerLiveResponse(live=True).SerializeToString()

    async def ServerReady(self, _data: bytes, _context: Any) -> bytes:
        """The gateway can answer."""
        return oip.ServerReadyResponse(ready=self._models.is_server_ready()).SerializeToString()

    async def ModelReady(self, data: bytes, context: Any) -> bytes:
        """A model has a server; false, not an error, for an unknown one, so that clients can wait for it."""
        async with aborting(context):
            request = parse(data, oip.ModelReadyRequest)
        ready = self._models.is_ready(request.name, request.version)
        return oip.ModelReadyResponse(ready=ready).SerializeToString()

    async def ServerMetadata(self, _data: bytes, _context: Any) -> bytes:
        """Name, version, extensions."""
        return oip.ServerMetadataResponse(
            name=protocol.SERVER_NAME, version=self._version, extensions=protocol.EXTENSIONS
        ).SerializeToString()

    async def ModelMetadata(self, data: bytes, context: Any) -> bytes:
        """Versions, inputs and outputs of a model."""
        async with aborting(context):
            request = parse(data, oip.ModelMetadataRequest)
            model, versions = self._models.describe(
                request.name, request.version, credentials=of_call(context)
            )
        signature = model.contract.signature
        return oip.ModelMetadataResponse(
            name=model.name,
            versions=versions,
            platform=protocol.PLATFORM,
            inputs=[_input_metadata(spec, model.contract) for spec in signature.inputs],
            outputs=[_tensor_metadata(spec) for spec in signature.outputs],
        ).SerializeToString()

    async def ModelConfig(self, data: bytes, context: Any) -> bytes:
        """What Triton's tools ask beside the metadata: that rows are batched, and how many."""
        async with aborting(context):
            request = parse(data, oip.ModelConfigRequest)
            model, _ = self._models.describe(request.name, request.version, credentials=of_call(context))
        signature = model.contract.signature
        config = oip.ModelConfig(
            name=model.name,
            platform=protocol.PLATFORM,
            max_batch_size=model.contract.max_batch_rows,
            input=[oip.ModelInput(**_configured(spec)) for spec in signature.inputs],
            output=[oip.ModelOutput(**_configured(spec)) for spec in signature.outputs],
        )
        return oip.ModelConfigResponse(config=config).SerializeToString()

    async def RepositoryIndex(self, data: bytes, context: Any) -> bytes:
        """The caller's models, and which of their versions are ready."""
        async with aborting(context):
            request = parse(data, oip.RepositoryIndexRequest)
            entries = self._models.index(credentials=of_call(context), only_ready=request.ready)
        models = [
            oip.RepositoryIndexResponse.ModelIndex(
                name=entry.name, version=entry.version, state=entry.state, reason=entry.reason
            )
            for entry in entries
        ]
        return oip.RepositoryIndexResponse(models=models).SerializeToString()


class FeedbackService:
    """Feedback from applications that do not speak Kafka."""

    def __init__(self, door: FeedbackDoor) -> None:
        self._door = door

    @property
    def methods(self) -> dict[str, Any]:
        """By name."""
        return {"SubmitFeedback": self.SubmitFeedback}

    async def SubmitFeedback(self, data: bytes, context: Any) -> bytes:
        """Take up to 1000 items, all or none."""
        async with aborting(context):
            caller = self._door.authenticate(of_call(context))
            request = parse(data, feedback_pb2.SubmitFeedbackRequest)
            ids = await self._door.take(request.items, caller=caller, protocol="grpc")
        return feedback_pb2.SubmitFeedbackResponse(feedback_ids=ids).SerializeToString()


def parse(data: bytes, kind: type[M]) -> M:
    """Bytes to a message.

    Raises:
        InvalidInput: They are not one.
    """
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise InvalidInput(f"the bytes are not a {kind.DESCRIPTOR.full_name}: {error}") from error


def _tensor_metadata(spec: TensorSpec) -> oip.ModelMetadataResponse.TensorMetadata:
    return oip.ModelMetadataResponse.TensorMetadata(name=spec.name, datatype=spec.datatype, shape=spec.shape)


def _configured(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "data_type": protocol.CONFIG_TYPES[spec.datatype], "dims": spec.shape[1:]}


def _input_metadata(spec: TensorSpec, contract: Contract) -> oip.ModelMetadataResponse.TensorMetadata:
    """With what a client must know beyond the form."""
    metadata = _tensor_metadata(spec)
    for name, value in protocol.input_parameters(contract).items():
        if isinstance(value, int):
            metadata.parameters[name].int64_param = value
        else:
            metadata.parameters[name].string_param = value
    return metadata
