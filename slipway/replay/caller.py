"""One row to the gateway by the Open Inference Protocol, over gRPC, as any application would."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import numpy as np

from slipway import rpc
from slipway.oip import open_inference_pb2 as oip
from slipway.oip import open_inference_pb2_grpc as oip_grpc
from slipway.replay.runner import Answer, Caller
from slipway.signature import FEATURES, TensorSpec, signature_of
from slipway.spec import Spec
from slipway.tensors import from_raw, to_raw

_DEADLINE_S: Final = 10.0


@asynccontextmanager
async def gateway_caller(target: str, *, key: str, spec: Spec) -> AsyncIterator[Caller]:
    """A caller on its own channel."""
    build = request_builder(spec)
    answer_name = "label" if spec.is_classifier else "value"
    metadata = (("authorization", f"Bearer {key}"),)
    async with rpc.channel(target) as channel:
        stub = oip_grpc.GRPCInferenceServiceStub(channel)

        async def call(values: Sequence[float | str]) -> Answer:
            with rpc.translating("gateway"):
                response = await stub.ModelInfer(build(values), timeout=_DEADLINE_S, metadata=metadata)
            return _answer(response, answer_name)

        yield call


def request_builder(spec: Spec) -> Callable[[Sequence[float | str]], oip.ModelInferRequest]:
    """How one row of this model becomes a request."""
    inputs = signature_of(spec).inputs
    if inputs[0].name == FEATURES:
        return lambda values: _request(spec.name, [(inputs[0], np.array([values], dtype=np.float32))])
    return lambda values: _request(
        spec.name, [(tensor, _cell(tensor, v)) for tensor, v in zip(inputs, values, strict=True)]
    )


def _cell(tensor: TensorSpec, value: Any) -> np.ndarray[Any, Any]:
    if tensor.datatype == "FP32":
        return np.array([[value]], dtype=np.float32)
    text = "" if value is None or value != value else str(value)
    return np.array([[text.encode()]], dtype=object)


def _request(model: str, tensors: list[tuple[TensorSpec, np.ndarray[Any, Any]]]) -> oip.ModelInferRequest:
    return oip.ModelInferRequest(
        model_name=model,
        inputs=[
            oip.ModelInferRequest.InferInputTensor(name=t.name, datatype=t.datatype, shape=array.shape)
            for t, array in tensors
        ],
        raw_input_contents=[to_raw(array) for _, array in tensors],
    )


def _answer(response: oip.ModelInferResponse, answer_name: str) -> Answer:
    at = next(i for i, output in enumerate(response.outputs) if output.name == answer_name)
    output = response.outputs[at]
    values = from_raw(output.name, output.datatype, output.shape, response.raw_output_contents[at])
    value = values.reshape(-1)[0]
    parameters = response.parameters
    return Answer(
        label=value.decode() if isinstance(value, bytes) else str(value),
        version=response.model_version,
        prediction_id=parameters["slipway_prediction_id"].string_param,
        feedback_token=parameters["slipway_feedback_token"].string_param,
    )
