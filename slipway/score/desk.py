"""A chunk of rows as a job: submitted, waited for, fetched."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from slipway import rpc
from slipway.client.prediction import Prediction, decode_answer
from slipway.clock import Clock
from slipway.errors import SlipwayError
from slipway.job_terms import DONE, ENDED, LOW
from slipway.oip.open_inference_pb2 import ModelInferRequest
from slipway.v1.jobs_pb2 import GetJobRequest, SubmitJobRequest
from slipway.v1.jobs_pb2_grpc import AsyncInferenceStub

T = TypeVar("T")

_CALL_S: Final = 10.0
_WAIT_S: Final = 15.0
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0


class ResultGone(SlipwayError):
    """The job was done, and its result is deleted: it must be asked for anew."""


class JobFailed(SlipwayError):
    """The job has ended without an answer."""


class ScoreDesk:
    """Jobs of one caller; what is away is waited for as long as the patience lasts."""

    def __init__(self, channel: Any, *, api_key: str, clock: Clock, patience_s: float) -> None:
        self._stub: Any = AsyncInferenceStub(channel)
        self._metadata = (("authorization", f"Bearer {api_key}"),)
        self._clock = clock
        self._patience_s = patience_s

    async def score(self, request: ModelInferRequest, submission_id: str) -> Prediction:
        """Have rows predicted.

        Args:
            request: The rows.
            submission_id: The same one for the same rows, also after a kill.
        Raises:
            InvalidInput: The gateway refuses the rows.
            ResultGone: It was done so long ago that nothing is left.
            JobFailed: No answer will come.
            SlipwayError: Something was away longer than the patience lasts.
        """
        message = SubmitJobRequest(request=request, priority=LOW, submission_id=submission_id)
        accepted = await self._patiently(
            lambda: self._stub.Submit(message, metadata=self._metadata, timeout=_CALL_S)
        )
        look = GetJobRequest(job_id=accepted.job_id, wait_s=_WAIT_S)
        while True:
            job = await self._patiently(
                lambda: self._stub.GetJob(look, metadata=self._metadata, timeout=_CALL_S + _WAIT_S)
            )
            if job.state in ENDED:
                return _prediction(job)

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        until_s = self._clock.monotonic_s() + self._patience_s
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                with rpc.translating("gateway"):
                    return await call()
            except SlipwayError as error:
                if not error.retriable or self._clock.monotonic_s() >= until_s:
                    raise
            await asyncio.sleep(pause_s)
            pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)


def _prediction(job: Any) -> Prediction:
    if job.state != DONE:
        raise JobFailed(f"job {job.job_id} is {job.state}: {job.code} {job.message}".rstrip())
    if not job.HasField("response"):
        raise ResultGone(f"job {job.job_id}: {job.message}")
    return decode_answer(job.response)
