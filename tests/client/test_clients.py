"""Both clients against a small server that speaks the gateway's two services."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest

from slipway import tensors
from slipway.client import AsyncSlipway, Prediction, Slipway
from slipway.errors import DeadlineExceeded, InvalidInput, NotFound, Unauthenticated, Unavailable
from slipway.oip import open_inference_pb2 as oip
from slipway.oip import open_inference_pb2_grpc as oip_grpc
from slipway.v1 import feedback_pb2, feedback_pb2_grpc

KEY = "slk_test"


@dataclass
class Gateway(oip_grpc.GRPCInferenceServiceServicer, feedback_pb2_grpc.FeedbackIntakeServicer):
    """Answers class "1" where the first feature is above 0.5, and remembers what it was sent."""

    asked: list[oip.ModelInferRequest] = field(default_factory=list)
    described: int = 0
    feedback: list[feedback_pb2.FeedbackReceived] = field(default_factory=list)
    delay_s: float = 0.0

    async def ModelMetadata(
        self, request: oip.ModelMetadataRequest, context: Any
    ) -> oip.ModelMetadataResponse:
        await self._check(request.name, context)
        self.described += 1
        answer = oip.ModelMetadataResponse(name=request.name)
        tensor = answer.inputs.add(name="features", datatype="FP32", shape=[-1, 2])
        tensor.parameters["slipway_columns"].string_param = '["a", "b"]'
        return answer

    async def ModelInfer(self, request: oip.ModelInferRequest, context: Any) -> oip.ModelInferResponse:
        await self._check(request.model_name, context)
        await asyncio.sleep(self.delay_s)
        self.asked.append(request)
        tensor = request.inputs[0]
        rows = tensors.from_raw("features", "FP32", tensor.shape, request.raw_input_contents[0])
        labels = np.array([b"1" if row[0] > 0.5 else b"0" for row in rows], dtype=object)
        answer = oip.ModelInferResponse(model_name=request.model_name, model_version="3")
        answer.parameters["slipway_prediction_id"].string_param = f"p{len(self.asked)}"
        answer.parameters["slipway_feedback_token"].string_param = "token"
        answer.outputs.add(name="label", datatype="BYTES", shape=labels.shape)
        answer.raw_output_contents.append(tensors.to_raw(labels))
        return answer

    async def SubmitFeedback(
        self, request: feedback_pb2.SubmitFeedbackRequest, context: Any
    ) -> feedback_pb2.SubmitFeedbackResponse:
        await self._check("m", context)
        self.feedback += request.items
        return feedback_pb2.SubmitFeedbackResponse(
            feedback_ids=[i.feedback_id or "made" for i in request.items]
        )

    async def _check(self, model: str, context: Any) -> None:
        if dict(context.invocation_metadata()).get("authorization") != f"Bearer {KEY}":
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no such key")
        if model != "m":
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no model {model}")


@pytest.fixture
async def served() -> AsyncIterator[tuple[Gateway, str]]:
    gateway, server = Gateway(), grpc.aio.server()
    oip_grpc.add_GRPCInferenceServiceServicer_to_server(gateway, server)
    feedback_pb2_grpc.add_FeedbackIntakeServicer_to_server(gateway, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield gateway, f"127.0.0.1:{port}"
    await server.stop(None)


async def test_predict_then_feedback(served: tuple[Gateway, str]) -> None:
    gateway, target = served
    async with AsyncSlipway(target, KEY) as slipway:
        prediction = await slipway.predict(
            "m", [{"b": 0, "a": 0.9}, {"a": 0.1, "b": 0}], unit="u", key="order-1"
        )
        assert prediction.labels == ("1", "0")
        assert (prediction.prediction_id, prediction.feedback_token, prediction.version) == (
            "p1",
            "token",
            "3",
        )
        assert await slipway.feedback(prediction, label=0, row=1, source="till", feedback_id="f1") == "f1"
        assert await slipway.feedback("p9", retract=True) == "made"
        assert await slipway.feedback("order-1", model="m", rating=np.float32(0.5)) == "made"
    parameters = gateway.asked[0].parameters
    assert (parameters["slipway_unit"].string_param, parameters["slipway_key"].string_param) == (
        "u",
        "order-1",
    )
    said = feedback_pb2.FeedbackReceived
    assert gateway.feedback == [
        said(prediction_id="p1", feedback_token="token", row=1, label="0", source="till", feedback_id="f1"),
        said(prediction_id="p9", retract=True),
        said(business_key="order-1", model="m", rating=0.5),
    ]


async def test_the_fast_path_asks_for_metadata_once(served: tuple[Gateway, str]) -> None:
    gateway, target = served
    async with AsyncSlipway(target, KEY) as slipway:
        rows = [slipway.predict_row("m", [value, 0.0], unit="u", timeout_s=5) for value in (0.1, 0.9)]
        first = await slipway.predict_row("m", [0.9, 0.0])
        assert [p.label for p in (first, *await asyncio.gather(*rows))] == ["1", "0", "1"]
    assert gateway.described == 1


async def test_feedback_travels_in_batches(served: tuple[Gateway, str]) -> None:
    gateway, target = served
    items = [feedback_pb2.FeedbackReceived(prediction_id="p", feedback_id=str(n)) for n in range(2500)]
    async with AsyncSlipway(target, KEY) as slipway:
        assert await slipway.submit(items) == [str(n) for n in range(2500)]
    assert len(gateway.feedback) == 2500


async def test_the_client_without_asyncio(served: tuple[Gateway, str]) -> None:
    gateway, target = served

    def work() -> Prediction:
        with Slipway(target, KEY) as slipway:
            prediction = slipway.predict("m", np.array([[0.9, 0.0]]))
            slipway.feedback(prediction, label="1")
            with pytest.raises(NotFound, match="metadata of n: no model n"):
                slipway.predict("n", [[0.9, 0.0]])
            return prediction

    assert (await asyncio.to_thread(work)).label == "1"
    assert gateway.feedback[0].label == "1"


async def test_failures_have_names_and_words(served: tuple[Gateway, str]) -> None:
    gateway, target = served
    async with AsyncSlipway(target, "wrong") as stranger:
        with pytest.raises(Unauthenticated, match="no such key"):
            await stranger.predict("m", [[1, 2]])
    async with AsyncSlipway(target, KEY) as slipway:
        with pytest.raises(NotFound, match="metadata of unheard: no model unheard"):
            await slipway.predict("unheard", [[1, 2]])
        with pytest.raises(InvalidInput, match="2 columns, got 3"):
            await slipway.predict("m", [[1, 2, 3]])
        gateway.delay_s = 30
        with pytest.raises(DeadlineExceeded):
            await slipway.predict_row("m", [1, 2], timeout_s=0.05)


async def test_a_gateway_that_is_away_may_work_later() -> None:
    async with AsyncSlipway("127.0.0.1:1", KEY, timeout_s=5) as slipway:
        with pytest.raises(Unavailable) as failed:
            await slipway.predict("m", [[1, 2]])
    assert failed.value.retriable


@pytest.mark.parametrize("content", [{}, {"label": "1", "rating": 0.5}, {"lable": "1"}])
async def test_feedback_says_exactly_one_thing(served: tuple[Gateway, str], content: dict[str, Any]) -> None:
    async with AsyncSlipway(served[1], KEY) as slipway:
        with pytest.raises(InvalidInput, match="exactly one of"):
            await slipway.feedback("p", **content)
