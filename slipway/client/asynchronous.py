"""The client for asyncio."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from slipway.client import messages
from slipway.client.encoding import ModelInputs, Rows, Value, encode_row, encode_rows
from slipway.client.failures import calling
from slipway.client.prediction import Prediction, decode_answer
from slipway.oip import open_inference_pb2 as oip
from slipway.v1 import feedback_pb2


class AsyncSlipway:
    """Predictions and feedback over one gRPC channel.

    async with AsyncSlipway("localhost:8001", api_key) as slipway:
        prediction = await slipway.predict("elec2", frame)
        await slipway.feedback(prediction, label="1")
    """

    def __init__(
        self,
        target: str,
        api_key: str,
        *,
        timeout_s: float = messages.DEFAULT_TIMEOUT_S,
        channel_credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._channel = (
            grpc.aio.secure_channel(target, channel_credentials)
            if channel_credentials
            else grpc.aio.insecure_channel(target)
        )
        self._metadata = messages.credentials(api_key)
        self._timeout_s = timeout_s
        self._inputs: dict[str, ModelInputs] = {}
        self._infer = self._method(messages.PREDICT, oip.ModelInferRequest, oip.ModelInferResponse)
        self._describe = self._method(messages.DESCRIBE, oip.ModelMetadataRequest, oip.ModelMetadataResponse)
        self._submit = self._method(
            messages.SUBMIT, feedback_pb2.SubmitFeedbackRequest, feedback_pb2.SubmitFeedbackResponse
        )

    def _method(self, path: str, request: Any, response: Any) -> Any:
        return self._channel.unary_unary(
            path, request_serializer=request.SerializeToString, response_deserializer=response.FromString
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()

    async def inputs(self, model: str) -> ModelInputs:
        """What a model takes; asked once, as a model's signature never changes."""
        if model not in self._inputs:
            request = oip.ModelMetadataRequest(name=model)
            with calling(f"metadata of {model}"):
                answer = await self._describe(request, metadata=self._metadata, timeout=self._timeout_s)
            self._inputs[model] = messages.model_inputs(answer)
        return self._inputs[model]

    async def predict(
        self,
        model: str,
        rows: Rows,
        *,
        unit: str | None = None,
        key: str | None = None,
        timeout_s: float | None = None,
    ) -> Prediction:
        """Predict a data frame, a list of dicts, one dict, or an array in the model's column order.

        Args:
            model: Its name.
            rows: Together one request, and one prediction id.
            unit: For whom: the same unit stays with the same version during a rollout.
            key: Your own name for this prediction, by which feedback may name it.
            timeout_s: Deadline; the client's own when omitted.
        Raises:
            SlipwayError: One of `slipway.errors`; `retriable` says whether it may work later.
        """
        return await self._predict(
            encode_rows(await self.inputs(model), rows), unit, key=key, timeout_s=timeout_s
        )

    async def predict_row(
        self, model: str, values: Sequence[Value], *, unit: str | None = None, timeout_s: float | None = None
    ) -> Prediction:
        """Predict one row whose values stand in the model's column order, without any detour."""
        request = encode_row(await self.inputs(model), values)
        return await self._predict(request, unit, key=None, timeout_s=timeout_s)

    async def _predict(
        self, request: oip.ModelInferRequest, unit: str | None, *, key: str | None, timeout_s: float | None
    ) -> Prediction:
        messages.set_parameters(request, unit=unit, key=key)
        with calling(f"prediction by {request.model_name}"):
            answer = await self._infer(request, metadata=self._metadata, timeout=timeout_s or self._timeout_s)
        return decode_answer(answer)

    async def feedback(
        self,
        about: Prediction | str,
        *,
        row: int = 0,
        model: str = "",
        source: str = "",
        feedback_id: str = "",
        **content: Any,
    ) -> str:
        """Say what turned out.

        Args:
            about: A prediction, its id, or, together with `model`, your key for it.
            row: The row of the request.
            model: Needed only with a key.
            source: Which system or person saw it.
            feedback_id: Your id; sent twice, it has one effect.
            content: One of `label`, `edited_label`, `accepted`, `rating`, `business_value`, `retract=True`.
        Returns:
            The id under which it was accepted for processing.
        """
        message = messages.feedback_message(
            about, content, row=row, model=model, source=source, feedback_id=feedback_id
        )
        return (await self.submit([message]))[0]

    async def submit(self, items: Sequence[feedback_pb2.FeedbackReceived]) -> list[str]:
        """Send ready-made feedback; returns the ids in order."""
        ids: list[str] = []
        for batch in messages.feedback_batches(items):
            request = feedback_pb2.SubmitFeedbackRequest(items=batch)
            with calling("feedback"):
                answer = await self._submit(request, metadata=self._metadata, timeout=self._timeout_s)
            ids += answer.feedback_ids
        return ids
