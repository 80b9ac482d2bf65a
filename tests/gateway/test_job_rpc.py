"""Predictions on behalf of those who submitted jobs."""

from typing import Any, cast

import grpc
import pytest

from services.gateway.handlers.predict import Predictions
from services.gateway.job_rpc import TrustedInferenceService
from services.gateway.wire import Answer, InferCall
from slipway.errors import Overloaded
from slipway.identity.caller import Caller
from slipway.ids import new_id
from slipway.oip.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from slipway.v1.jobs_pb2 import Submitter, TrustedInferRequest


class Aborted(Exception):
    pass


class Context:
    code: grpc.StatusCode | None = None

    async def abort(self, code: grpc.StatusCode, _details: str, _trailing: object = ()) -> None:
        self.code = code
        raise Aborted

    def time_remaining(self) -> float:
        return 3.0


class Pipeline:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: list[tuple[Caller, InferCall, float | None]] = []

    async def answer(self, caller: Caller, call: InferCall, *, budget_s: float | None) -> Answer:
        self.asked.append((caller, call, budget_s))
        if self.error is not None:
            raise self.error
        return Answer(
            model=call.model, version="7", request_id="", parameters={}, rows=1, is_raw=True, outputs=()
        )


async def infer(pipeline: Pipeline, request: bytes, missing: list[str], context: Context) -> Any:
    service = TrustedInferenceService(cast(Predictions, pipeline), not_ready=lambda: missing)
    message = TrustedInferRequest(tenant="t", principal="p", prediction_id=new_id(), request=request)
    return await service.Infer(message, context)


REQUEST = ModelInferRequest(model_name="m").SerializeToString()


async def test_the_pipeline_is_asked_for_the_one_who_submitted() -> None:
    pipeline = Pipeline()
    answer = await infer(pipeline, REQUEST, [], Context())
    assert ModelInferResponse.FromString(answer.response).model_version == "7"
    [(caller, call, budget_s)] = pipeline.asked
    assert (caller.tenant, caller.principal, call.protocol, budget_s) == ("t", "p", "job", 3.0)
    assert call.prediction_id


@pytest.mark.parametrize(
    ("request_bytes", "error", "code"),
    [(REQUEST, Overloaded("full"), "RESOURCE_EXHAUSTED"), (b"\xff\xff", None, "INVALID_ARGUMENT")],
)
async def test_a_failure_is_an_answer(request_bytes: bytes, error: Exception | None, code: str) -> None:
    answer = await infer(Pipeline(error), request_bytes, [], Context())
    assert answer.failure.code == code
    assert answer.failure.message


async def test_a_gateway_that_knows_no_models_yet_ends_no_job() -> None:
    context, pipeline = Context(), Pipeline()
    with pytest.raises(Aborted):
        await infer(pipeline, REQUEST, ["specs and routes"], context)
    assert (context.code, pipeline.asked) == (grpc.StatusCode.UNAVAILABLE, [])


async def test_a_job_is_answered_with_the_roles_of_its_submitter_and_recorded_as_his() -> None:
    pipeline = Pipeline()
    service = TrustedInferenceService(cast(Predictions, pipeline), not_ready=list)
    submitter = Submitter(roles=["app", "labeler"], method="jwt", credential_id="issuer#1")
    message = TrustedInferRequest(
        tenant="t", principal="p", prediction_id=new_id(), request=REQUEST, submitter=submitter
    )
    context: Any = Context()
    await service.Infer(message, context)
    who = pipeline.asked[0][0]
    assert (who.tenant, who.principal) == ("t", "p")
    assert (who.roles, who.method, who.credential_id) == (("app", "labeler"), "jwt", "issuer#1")
