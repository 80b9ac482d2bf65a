"""The protocol of a replica over a real port: what it answers and what it refuses."""

import asyncio
import math
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from onnx import TensorProto, helper

from services.inference import open_inference
from services.inference.domain.version import Version
from services.inference.open_inference import OpenInference
from slipway.errors import DeadlineExceeded
from slipway.oip import open_inference_pb2 as pb
from slipway.oip import open_inference_pb2_grpc
from slipway.onnx_model import OnnxModel
from slipway.spec import parse
from slipway.tensors import from_raw, to_raw

VERSION = Version(model="m", version="3", digest="d")
ROWS = np.array([[0.25, 0.75], [0.5, 0.5], [0.9, 0.1]], np.float32)
SPEC = """
name: m
task: binary
features: [{name: a}, {name: b}]
label: {name: y, classes: ["no", "yes"]}
"""


def _identity() -> bytes:
    """A classifier that gives its features as probabilities."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["features"], ["probabilities"])],
        "g",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(made.SerializeToString())


@pytest.fixture
def servicer() -> OpenInference:
    return OpenInference(VERSION, OnnxModel(_identity(), parse(SPEC)))


@pytest.fixture
async def stub(servicer: OpenInference) -> AsyncIterator[Any]:
    server = grpc.aio.server()
    open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)
    await server.stop(0)


def _request(
    rows: Any = ROWS, *, name: str = "features", datatype: str = "FP32", version: str = "3"
) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="m", model_version=version, id="mine")
    request.inputs.add(name=name, datatype=datatype, shape=rows.shape)
    request.raw_input_contents.append(to_raw(rows))
    return request


def _arrays(response: pb.ModelInferResponse) -> dict[str, Any]:
    return {
        o.name: from_raw(o.name, o.datatype, o.shape, raw)
        for o, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    }


@pytest.mark.parametrize("budget_s", [0.0, 100.0], ids=["in the thread", "in the loop"])
async def test_answers_rows(
    stub: Any, servicer: OpenInference, monkeypatch: pytest.MonkeyPatch, budget_s: float
) -> None:
    monkeypatch.setattr(open_inference, "_LOOP_BUDGET_S", budget_s)
    for _ in range(2):
        response = await stub.ModelInfer(_request(), timeout=5)
    arrays = _arrays(response)
    assert (response.model_name, response.model_version, response.id) == ("m", "3", "mine")
    assert arrays["label"].tolist() == [b"yes", b"no", b"no"]
    np.testing.assert_array_equal(arrays["probabilities"], ROWS)
    assert (servicer.done.requests, servicer.done.rows, servicer.done.failures) == (2, 6, 0)
    assert servicer.done.compute_s > 0


class SlowModel:
    """Stands in a model until it is let go; counts what is computed."""

    def __init__(self, model: OnnxModel) -> None:
        self._model = model
        self.signature = model.signature
        self.may_go, self.begun, self.computed = threading.Event(), threading.Event(), 0

    def predict(self, inputs: Any) -> Any:
        self.computed += 1
        self.begun.set()
        assert self.may_go.wait(30)
        return self._model.predict(inputs)


@pytest.fixture
def slow(servicer: OpenInference, monkeypatch: pytest.MonkeyPatch) -> SlowModel:
    monkeypatch.setattr(open_inference, "_LOOP_BUDGET_S", -1.0)
    model = SlowModel(servicer.model)
    monkeypatch.setattr(servicer, "model", model)
    return model


def recorded(servicer: OpenInference) -> list[Future[Any]]:
    """What the servicer gives to its thread."""
    submitted: list[Future[Any]] = []

    class Thread(ThreadPoolExecutor):
        def submit(self, *given: Any, **named: Any) -> Future[Any]:
            submitted.append(super().submit(*given, **named))
            return submitted[-1]

    servicer._thread = Thread(1)
    return submitted


async def begun(stub: Any, slow: SlowModel) -> Any:
    """A call that computes."""
    call = stub.ModelInfer(_request(), timeout=30)
    await asyncio.to_thread(slow.begun.wait, 30)
    return call


async def test_a_call_that_is_cancelled_while_it_waits_is_not_computed(
    stub: Any, slow: SlowModel, servicer: OpenInference
) -> None:
    submitted = recorded(servicer)
    first = await begun(stub, slow)
    waiting = asyncio.ensure_future(stub.ModelInfer(_request(), timeout=30))
    while len(submitted) < 2:
        await asyncio.sleep(0.01)
    waiting.cancel()
    while not submitted[1].cancelled():
        await asyncio.sleep(0.01)
    slow.may_go.set()
    assert (await first).model_version == "3"
    assert (await stub.ModelInfer(_request(), timeout=30)).model_version == "3"
    assert slow.computed == 2


async def test_a_call_whose_time_ran_out_while_it_waited_is_not_computed(
    stub: Any, slow: SlowModel, servicer: OpenInference
) -> None:
    submitted = recorded(servicer)
    first = await begun(stub, slow)
    waiting = asyncio.ensure_future(stub.ModelInfer(_request(), timeout=2))
    while len(submitted) < 2 or not submitted[1].cancelled():
        await asyncio.sleep(0.01)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await waiting
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    slow.may_go.set()
    assert (await first).model_version == "3"
    assert (await stub.ModelInfer(_request(), timeout=30)).model_version == "3"
    assert slow.computed == 2


@pytest.mark.parametrize("budget_s", [-1.0, 100.0], ids=["in the thread", "in the loop"])
async def test_the_time_is_looked_at_right_before_the_model_begins(
    servicer: OpenInference, monkeypatch: pytest.MonkeyPatch, budget_s: float
) -> None:
    monkeypatch.setattr(open_inference, "_LOOP_BUDGET_S", budget_s)
    inputs = {"features": ROWS}
    with pytest.raises(DeadlineExceeded, match="before the model could begin"):
        await servicer._predict(inputs, deadline_s=time.perf_counter() - 0.001)
    assert servicer.done.requests == 0
    assert await servicer._predict(inputs, deadline_s=math.inf)


async def test_gives_the_outputs_that_are_asked_for(stub: Any) -> None:
    request = _request(version="")
    request.outputs.add(name="probabilities")
    assert _arrays(await stub.ModelInfer(request, timeout=5)).keys() == {"probabilities"}


def _nameless() -> pb.ModelInferRequest:
    return pb.ModelInferRequest(model_name="m", model_version="3")


def _typed() -> pb.ModelInferRequest:
    request = _request()
    del request.raw_input_contents[:]
    request.inputs[0].contents.fp32_contents.extend(ROWS.reshape(-1).tolist())
    return request


def _unknown_output() -> pb.ModelInferRequest:
    request = _request()
    request.outputs.add(name="shap")
    return request


@pytest.mark.parametrize(
    ("request_", "code", "said"),
    [
        (_request(version="4"), "NOT_FOUND", "serves m version 3, not m version 4"),
        (_request(name="x"), "INVALID_ARGUMENT", "tensor 'x' is unknown"),
        (_request(ROWS.astype("f8"), datatype="FP64"), "INVALID_ARGUMENT", "must be FP32 [-1, 2]"),
        (_request(ROWS[:, :1]), "INVALID_ARGUMENT", "must be FP32 [-1, 2]"),
        (_request(ROWS[0]), "INVALID_ARGUMENT", "must be FP32 [-1, 2]"),
        (_request(ROWS[:0]), "INVALID_ARGUMENT", "one or more"),
        (_nameless(), "INVALID_ARGUMENT", "features are missing"),
        (_typed(), "INVALID_ARGUMENT", "in raw form"),
        (_unknown_output(), "INVALID_ARGUMENT", "output 'shap' is unknown"),
    ],
)
async def test_refuses_with_the_reason(
    stub: Any, servicer: OpenInference, request_: pb.ModelInferRequest, code: str, said: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ModelInfer(request_, timeout=5)
    assert refused.value.code().name == code
    assert said in str(refused.value.details())
    assert servicer.done.failures == 1


async def test_tells_about_itself(stub: Any) -> None:
    assert (await stub.ServerLive(pb.ServerLiveRequest(), timeout=5)).live
    assert (await stub.ServerReady(pb.ServerReadyRequest(), timeout=5)).ready
    assert (await stub.ModelReady(pb.ModelReadyRequest(name="m", version="3"), timeout=5)).ready
    assert not (await stub.ModelReady(pb.ModelReadyRequest(name="m", version="4"), timeout=5)).ready
    assert (
        "binary_tensor_data" in (await stub.ServerMetadata(pb.ServerMetadataRequest(), timeout=5)).extensions
    )
    about = await stub.ModelMetadata(pb.ModelMetadataRequest(name="m"), timeout=5)
    assert [(t.name, t.datatype, list(t.shape)) for t in (*about.inputs, *about.outputs)] == [
        ("features", "FP32", [-1, 2]),
        ("label", "BYTES", [-1]),
        ("probabilities", "FP32", [-1, 2]),
    ]
    with pytest.raises(grpc.aio.AioRpcError):
        await stub.ModelMetadata(pb.ModelMetadataRequest(name="other"), timeout=5)
