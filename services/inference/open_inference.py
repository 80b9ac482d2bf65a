"""The Open Inference Protocol of one replica: raw tensors in, raw tensors out, one version."""

import asyncio
import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from services.inference.domain.version import Version
from slipway.errors import DeadlineExceeded, InvalidInput, NotFound, SlipwayError
from slipway.oip import open_inference_pb2 as pb
from slipway.oip import open_inference_pb2_grpc
from slipway.onnx_model import OnnxModel
from slipway.rpc import aborting
from slipway.signature import TensorSpec
from slipway.tensors import Array, datatype_of, from_raw, to_raw

PLATFORM: Final = "onnx_onnxruntime"
_LOOP_BUDGET_S: Final = 0.001  # longer computations leave the event loop
_SMOOTHING: Final = 0.1


@dataclass(slots=True)
class Done:
    """What this replica has done since it started."""

    requests: int = 0
    rows: int = 0
    failures: int = 0
    compute_s: float = 0.0


class OpenInference(open_inference_pb2_grpc.GRPCInferenceServiceServicer):
    """Answers for one model version."""

    def __init__(self, version: Version, model: OnnxModel) -> None:
        self.version = version
        self.model = model
        self.done = Done()
        self._wanted = {t.name: t for t in model.signature.inputs}
        self._seconds_per_row = 0.0
        # One thread: a replica is one share of a core, more would only wait for each other.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")

    async def ServerLive(self, _request: Any, _context: Any) -> pb.ServerLiveResponse:
        """The process lives."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, _request: Any, _context: Any) -> pb.ServerReadyResponse:
        """Its port is open only once the model has answered."""
        return pb.ServerReadyResponse(ready=True)

    async def ModelReady(self, request: Any, _context: Any) -> pb.ModelReadyResponse:
        """Whether this replica serves that model and version."""
        return pb.ModelReadyResponse(ready=self._serves(request.name, request.version))

    async def ServerMetadata(self, _request: Any, _context: Any) -> pb.ServerMetadataResponse:
        """Who answers."""
        return pb.ServerMetadataResponse(
            name="slipway-replica", version="1", extensions=["binary_tensor_data"]
        )

    async def ModelMetadata(self, request: Any, context: Any) -> pb.ModelMetadataResponse:
        """The signature."""
        async with aborting(context):
            self._check_serves(request.name, request.version)
        signature = self.model.signature
        return pb.ModelMetadataResponse(
            name=self.version.model,
            versions=[self.version.version],
            platform=PLATFORM,
            inputs=[_metadata(t) for t in signature.inputs],
            outputs=[_metadata(t) for t in signature.outputs],
        )

    async def ModelInfer(self, request: Any, context: Any) -> pb.ModelInferResponse:
        """Answer the rows of one call."""
        async with aborting(context):
            try:
                self._check_serves(request.model_name, request.model_version)
                inputs = self._decode(request)
                answers = await self._predict(inputs, deadline_s=_deadline_s(context))
                return self._encode(request, answers)
            except SlipwayError:
                self.done.failures += 1
                raise
        raise AssertionError("aborted")

    async def _predict(self, inputs: dict[str, Array], *, deadline_s: float) -> dict[str, Array]:
        """Compute, in the thread if it takes long; what is cancelled while it waits for that is not begun."""
        rows = next(iter(inputs.values())).shape[0]
        if rows * self._seconds_per_row <= _LOOP_BUDGET_S:
            answers, seconds = self._timed(inputs, deadline_s)
        else:
            loop = asyncio.get_running_loop()
            answers, seconds = await loop.run_in_executor(self._thread, self._timed, inputs, deadline_s)
        self._seconds_per_row += _SMOOTHING * (seconds / rows - self._seconds_per_row)
        self.done.requests += 1
        self.done.rows += rows
        self.done.compute_s += seconds
        return answers

    def _timed(self, inputs: dict[str, Array], deadline_s: float) -> tuple[dict[str, Array], float]:
        started_s = time.perf_counter()
        if started_s >= deadline_s:
            raise DeadlineExceeded("the caller's time ran out before the model could begin")
        answers = self.model.predict(inputs)
        return answers, time.perf_counter() - started_s

    def _decode(self, request: Any) -> dict[str, Array]:
        if len(request.raw_input_contents) != len(request.inputs):
            raise InvalidInput(
                f"{len(request.inputs)} inputs with {len(request.raw_input_contents)} raw_input_contents; "
                "send the elements of every tensor in raw form"
            )
        inputs: dict[str, Array] = {}
        for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True):
            self._check_tensor(tensor)
            inputs[tensor.name] = from_raw(tensor.name, tensor.datatype, tensor.shape, raw)
        missing = self._wanted.keys() - inputs.keys()
        if missing:
            raise InvalidInput(f"tensors {', '.join(sorted(missing))} are missing")
        rows = {array.shape[0] for array in inputs.values()}
        if len(rows) > 1 or 0 in rows:
            raise InvalidInput(
                f"tensors have {sorted(rows)} rows; send the same number, one or more, in each"
            )
        return inputs

    def _check_tensor(self, tensor: Any) -> None:
        wanted = self._wanted.get(tensor.name)
        if wanted is None:
            raise InvalidInput(f"tensor {tensor.name!r} is unknown; known are {', '.join(self._wanted)}")
        fits = len(tensor.shape) == len(wanted.shape) and all(
            want in (-1, got) for got, want in zip(tensor.shape, wanted.shape, strict=True)
        )
        if tensor.datatype != wanted.datatype or not fits:
            raise InvalidInput(
                f"tensor {tensor.name!r} is {tensor.datatype} {list(tensor.shape)}, "
                f"it must be {wanted.datatype} {list(wanted.shape)}"
            )

    def _encode(self, request: Any, answers: dict[str, Array]) -> pb.ModelInferResponse:
        response = pb.ModelInferResponse(
            model_name=self.version.model, model_version=self.version.version, id=request.id
        )
        for name in [o.name for o in request.outputs] or answers:
            if name not in answers:
                raise InvalidInput(f"output {name!r} is unknown; known are {', '.join(answers)}")
            array = answers[name]
            response.outputs.add(name=name, datatype=datatype_of(array), shape=array.shape)
            response.raw_output_contents.append(to_raw(array))
        return response

    def _serves(self, model: str, version: str) -> bool:
        return model == self.version.model and version in ("", self.version.version)

    def _check_serves(self, model: str, version: str) -> None:
        if not self._serves(model, version):
            raise NotFound(
                f"this replica serves {self.version.model} version {self.version.version}, "
                f"not {model} version {version}"
            )


def _deadline_s(context: Any) -> float:
    """When the caller stops waiting, on the clock of `time.perf_counter`."""
    left_s = None if context is None else context.time_remaining()
    return math.inf if left_s is None else time.perf_counter() + left_s


def _metadata(tensor: TensorSpec) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(
        name=tensor.name, datatype=tensor.datatype, shape=tensor.shape
    )
