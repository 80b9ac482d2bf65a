"""A prediction, from the bytes that came to the bytes that go back."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from services.gateway import metrics, records, wire
from services.gateway.answering import Answering, Question
from services.gateway.arm_metrics import arm_metrics
from services.gateway.defence_outputs import columns_of, parameters_of
from services.gateway.defending import defend_answer
from services.gateway.domain.batching import Columns
from services.gateway.domain.rate_limit_fields import Fields
from services.gateway.intake import Intake
from services.gateway.limits.limits import Limits
from services.gateway.mirroring import Mirror
from services.gateway.recording import Recording
from services.gateway.records import Prediction
from services.gateway.refusing import Refusing
from services.gateway.stages import (
    AUTHENTICATE,
    PARSE,
    RECORD,
    SERIALIZE,
    UNMEASURED,
    Stages,
    StageSampler,
)
from services.gateway.wire import Answer, InferCall, Parameters
from slipway import tokens
from slipway.clock import Clock
from slipway.errors import SlipwayError
from slipway.identity.authenticator import Authenticator
from slipway.identity.caller import Caller
from slipway.identity.credentials import Credentials
from slipway.rpc import status_of
from slipway.signature import TensorSpec

_KEY: Final = Refusing("key")
_MESSAGE: Final = Refusing("message")


class Predictions:
    """Admission, routing, the answer and its record."""

    def __init__(
        self,
        intake: Intake,
        authenticator: Authenticator,
        *,
        answering: Answering,
        recording: Recording,
        mirror: Mirror,
        limits: Limits,
        clock: Clock,
        token_secret: bytes,
    ) -> None:
        self._intake = intake
        self._authenticator = authenticator
        self._answering = answering
        self._recording = recording
        self._mirror = mirror
        self.limits = limits  # of all that callers send, jobs too
        self._clock = clock
        self._token_secret = token_secret
        self._sampler = StageSampler()

    def identify(self, credentials: Credentials) -> Caller:
        """Who calls; asked before a byte of the request is parsed.

        Raises:
            Unauthenticated: Nobody known, or nobody any more.
        """
        with _KEY:
            return self._authenticator.identify(credentials)

    def begin(self) -> Stages:
        """The stopwatch of a request that has just come."""
        return self._sampler.begin()

    async def infer(
        self,
        data: bytes,
        *,
        credentials: Credentials,
        budget_s: float | None,
        arm: str = "",
        tell: Callable[[Fields], None] = lambda _: None,
    ) -> bytes:
        """Answer one serialized ModelInferRequest with a serialized ModelInferResponse.

        Args:
            data: The serialized request.
            credentials: As sent; there may be none.
            budget_s: Time left by the transport's deadline, if there is one.
            arm: The role of the arm that the caller chose; empty leaves the choice to the route.
            tell: Is told how the limits stand, where the caller has some.
        Raises:
            SlipwayError: Refused, or the version failed; said in words for the caller.
        """
        stages = self.begin()
        caller = self.identify(credentials)
        stages.lap(AUTHENTICATE)
        with _MESSAGE:
            call = wire.read_call(data)
        call.arm = arm
        stages.lap(PARSE)
        answer = await self.answer(caller, call, budget_s=budget_s, stages=stages)
        reply = wire.write_answer(answer)
        if answer.limits:
            tell(answer.limits)
        stages.lap(SERIALIZE)
        stages.tell(call.model)
        return reply

    async def answer(
        self, caller: Caller, call: InferCall, *, budget_s: float | None, stages: Stages = UNMEASURED
    ) -> Answer:
        """Answer a parsed request of a known caller, whatever protocol it came by; it is recorded first.

        Raises:
            SlipwayError: As for `infer`.
        """
        question = await self.limits.patiently(
            partial(self._intake.admit, caller, call, budget_s=budget_s, stages=stages)
        )
        try:
            return await self._answer(call, question)
        except asyncio.CancelledError:
            if question.is_sent:  # leaving in time would be a way to pay nothing
                question.reservation.settle(compute_s=question.compute_s)
            raise
        finally:
            question.reservation.release()

    async def _answer(self, call: InferCall, question: Question) -> Answer:
        try:
            prediction, columns = await self._answering.answer(question)
        except SlipwayError as error:
            if question.is_sent:
                self._record_failure(question, error)
            raise
        except asyncio.CancelledError:
            self._count_failure(question, "CANCELLED")
            raise
        try:
            latency_s = self._record(question, prediction, columns)
            if prediction.contract.is_strict:
                latency_s = await self._settle(question, prediction)
        except SlipwayError as error:
            self._count_failure(question, status_of(error).name)
            raise
        except asyncio.CancelledError:
            self._count_failure(question, "CANCELLED")
            raise
        self._count(prediction, latency_s)
        question.reservation.settle(rows=prediction.checked.rows, compute_s=question.compute_s)
        question.stages.lap(RECORD)
        self._mirror.offer(prediction, columns, route=question.model.route, latency_s=latency_s)
        return Answer(
            model=call.model,
            version=prediction.arm.version,
            request_id=call.request_id,
            parameters=self._parameters(prediction),
            rows=prediction.checked.rows,
            is_raw=call.is_raw,
            outputs=_chosen(prediction, columns, wanted=question.wanted),
            limits=question.reservation.fields(),
        )

    def check(self, caller: Caller, call: InferCall) -> None:
        """Refuse what can never be answered, without asking for an answer: what comes later is checked now.

        Raises:
            SlipwayError: As `answer` would refuse it.
        """
        self._intake.check(caller, call)

    def _record(self, question: Question, prediction: Prediction, outputs: Columns) -> float:
        """Keep the answer before it is given: an answer without a record must not exist."""
        defend_answer(question.model, prediction, outputs)
        latency_s = self._clock.monotonic_s() - question.start_s
        record = records.served(prediction, outputs, now_s=self._clock.now_s(), latency_s=latency_s)
        self._recording.keep(prediction, record)
        return latency_s

    async def _settle(self, question: Question, prediction: Prediction) -> float:
        start_s = question.start_s
        await self._recording.settle(prediction, start_s=start_s, deadline_s=question.deadline_s)
        return self._clock.monotonic_s() - start_s

    def _count(self, prediction: Prediction, latency_s: float) -> None:
        children = arm_metrics(prediction.contract.model, prediction.arm.version)
        children.answered.inc()
        children.rows.inc(prediction.checked.rows)
        children.request_seconds.observe(latency_s)

    def _count_failure(self, question: Question, code: str) -> None:
        metrics.REQUESTS.labels(question.model.name, question.prediction.arm.version, code).inc()

    def _record_failure(self, question: Question, error: SlipwayError) -> None:
        prediction, code = question.prediction, status_of(error).name
        self._count_failure(question, code)
        record = records.failed(
            prediction,
            code=code,
            message=str(error),
            now_s=self._clock.now_s(),
            latency_s=self._clock.monotonic_s() - question.start_s,
        )
        self._recording.keep_failure(prediction, record)

    def _parameters(self, prediction: Prediction) -> Parameters:
        parameters: Parameters = {
            "slipway_prediction_id": prediction.prediction_id,
            "slipway_feedback_token": tokens.issue(
                self._token_secret, subject=prediction.prediction_id, owner=_owner(prediction.caller)
            ),
            "slipway_arm": prediction.arm.role,
            "slipway_route_epoch": prediction.route_epoch,
        }
        if prediction.degraded:
            parameters["slipway_degraded"] = prediction.degraded
        if not prediction.is_recorded:
            parameters["slipway_unrecorded"] = 1
        parameters.update(parameters_of(prediction))
        return parameters


def _chosen(
    prediction: Prediction, columns: Columns, *, wanted: Sequence[str]
) -> tuple[tuple[TensorSpec, bytes], ...]:
    specs = prediction.contract.signature.outputs
    by_name = {spec.name: (spec, column) for spec, column in zip(specs, columns, strict=True)}
    if not by_name.keys() >= set(wanted):
        by_name.update(columns_of(prediction))
    return tuple(by_name[name] for name in wanted)


def _owner(caller: Caller) -> tokens.Owner:
    return tokens.Owner(caller.tenant, caller.principal)
