"""Asynchronous inference: gateway, version and jobs service as processes on the real Kafka and PostgreSQL."""

import json
import os
import signal
from collections.abc import Iterator
from functools import partial
from typing import Any

import grpc
import numpy as np
import pytest
import requests

from slipway.ids import new_id
from slipway.topics import JOB_RESULTS, PREDICTIONS
from slipway.v1.jobs_pb2 import GetCallbackSecretRequest, GetJobRequest
from slipway.v1.predictions_pb2 import PredictionServed
from tests.gateway.live import Gateway, ends, prediction_id, read_since, wait_for
from tests.jobs import live
from tests.jobs.live import Bench, champion
from tests.receiver import verify
from tests.service_process import free_port

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with live.bench(tmp_path_factory.mktemp("jobs"), delay_s=0.05) as it:
        yield it


def served(bench: Bench, since: Any, count: int) -> list[Any]:
    """The model's records by distinct id, once there are so many."""
    model = bench.gateway.model
    events = read_since(
        bench.gateway.service.bootstrap,
        since,
        lambda events: len({e.event_id for e in events if e.message.context.model == model}) >= count,
    )
    mine = [e for e in events if e.message.context.model == model and isinstance(e.message, PredictionServed)]
    return list({e.event_id: e.message for e in mine}.values())


def code_of(call: Any) -> str:
    with pytest.raises(grpc.RpcError) as failure:
        call()
    return str(failure.value.code().name)


def is_done(jobs: live.Jobs, job_id: str) -> bool:
    return bool(jobs.get(job_id).state == "DONE")


def headers(gateway: Gateway) -> dict[str, str]:
    return {"authorization": f"Bearer {gateway.key}"}


def test_a_job_is_answered_as_a_prediction_is_and_recorded_as_one(bench: Bench) -> None:
    since = ends(bench.gateway.service.bootstrap, PREDICTIONS.name)
    told = ends(bench.gateway.service.bootstrap, JOB_RESULTS.name)
    rows = np.linspace(0, 1, 12).reshape(2, 6)
    direct = bench.gateway.infer(rows, id="mine")
    with bench.stub() as jobs:
        job = jobs.end(jobs.submit(rows, fields={"id": "mine"}, reply_topic="job_results"))
    assert (job.state, job.priority, job.tries, job.model) == ("DONE", "normal", 1, bench.gateway.model)
    assert list(job.response.raw_output_contents) == list(direct.raw_output_contents)
    assert job.response.id == "mine"
    by_id = {m.context.prediction_id: m.context for m in served(bench, since, 2)}
    context = by_id[prediction_id(job.response)]
    assert (context.protocol, context.principal, context.rows) == ("job", "tester", 2)
    assert by_id[prediction_id(direct)].protocol == "grpc"
    [event] = [
        e
        for e in read_since(
            bench.gateway.service.bootstrap,
            told,
            lambda events: any(e.message.job_id == job.job_id for e in events),
        )
        if e.message.job_id == job.job_id
    ]
    assert (event.key, event.message.state) == ("tester", "DONE")
    assert type(job.response).FromString(event.message.response) == job.response


def test_over_http_a_job_is_submitted_looked_at_and_cancelled(bench: Bench) -> None:
    url = f"{bench.gateway.url}/v1/jobs"
    how: dict[str, Any] = {"headers": headers(bench.gateway), "timeout": 30}
    tensor = {"name": "features", "datatype": "FP32", "shape": [2, 6], "data": [0.1] * 6 + [0.9] * 6}
    body = {"model_name": bench.gateway.model, "inputs": [tensor], "job": {"priority": "high"}}
    accepted = requests.post(url, json=body, **how)
    assert (accepted.status_code, accepted.headers["preference-applied"]) == (202, "respond-async")
    location = accepted.headers["location"]
    assert location == f"/v1/jobs/{accepted.json()['job_id']}"
    job = wait_for(
        "the end of the job",
        lambda: (
            found
            if (found := requests.get(f"{bench.gateway.url}{location}?wait_s=5", **how).json())["state"]
            == "DONE"
            else None
        ),
    )
    assert job["priority"] == "high"
    outputs = {o["name"]: o for o in job["response"]["outputs"]}
    assert outputs["label"]["data"] == ["0", "1"]
    assert np.array(outputs["probabilities"]["data"]).reshape(2, 2).sum(axis=1) == pytest.approx([1, 1])
    assert requests.delete(f"{bench.gateway.url}{location}", **how).json()["state"] == "DONE"
    for bad, status, why in (
        (b"{", 400, "not JSON"),
        (json.dumps({"inputs": []}).encode(), 400, "model_name"),
        (json.dumps({**body, "job": {"prio": "high"}}).encode(), 400, "prio"),
        (json.dumps({**body, "job": {"priority": "urgent"}}).encode(), 400, "urgent"),
        (json.dumps({**body, "job": {"ttl_s": -1}}).encode(), 400, "ttl_s"),
        (json.dumps({**body, "inputs": [{**tensor, "data": ["x"] * 12}]}).encode(), 400, "inputs[0].data"),
        (json.dumps({**body, "inputs": [{**tensor, "shape": [1, 6]}]}).encode(), 400, "48 bytes"),
        (json.dumps({**body, "model_name": "nobody"}).encode(), 404, "nobody"),
    ):
        refused = requests.post(url, data=bad, **how)
        assert (refused.status_code, why in refused.text) == (status, True), refused.text
    assert requests.post(url, json=body, timeout=10).status_code == 401


def test_bad_input_is_refused_at_submission(bench: Bench) -> None:
    with bench.stub() as jobs:
        cases: list[tuple[dict[str, Any], str]] = [
            ({"rows": np.full((1, 6), np.nan)}, "INVALID_ARGUMENT"),
            ({"rows": np.zeros((1, 5))}, "INVALID_ARGUMENT"),
            ({"rows": np.zeros((9, 6))}, "INVALID_ARGUMENT"),
            ({"fields": {"model_version": "77"}}, "NOT_FOUND"),
            ({"fields": {"model_name": "nobody"}}, "NOT_FOUND"),
            ({"priority": "urgent"}, "INVALID_ARGUMENT"),
            ({"ttl_s": float("nan")}, "INVALID_ARGUMENT"),
            ({"ttl_s": 1e9}, "INVALID_ARGUMENT"),
            ({"reply_topic": "predictions"}, "INVALID_ARGUMENT"),
            ({"submission_id": "no uuid"}, "INVALID_ARGUMENT"),
        ]
        for fields, code in cases:
            assert code_of(partial(jobs.submit, **fields)) == code, fields


def test_a_job_is_its_owners_alone(bench: Bench) -> None:
    other = Gateway(service=bench.gateway.service, model=bench.gateway.model)
    other.key = bench.gateway.create_key("stranger").secret
    with bench.stub() as mine, bench.stub(other) as theirs:
        job_id = mine.submit()
        for call in (theirs.get, theirs.cancel):
            assert code_of(partial(call, job_id)) == "NOT_FOUND"
        assert mine.end(job_id).state == "DONE"
        for made_up in (new_id(), "no id", "", job_id.upper()):
            assert code_of(partial(mine.get, made_up)) == "NOT_FOUND"
        nobody = {"metadata": (), "timeout": 10}
        assert code_of(lambda: mine.stub.GetJob(GetJobRequest(job_id=job_id), **nobody)) == "UNAUTHENTICATED"
        secrets = {
            jobs.stub.GetCallbackSecret(GetCallbackSecretRequest(), **jobs.how).secret
            for jobs in (mine, theirs)
        }
    assert len(secrets) == 2


def test_a_submission_sent_again_is_the_same_job(bench: Bench) -> None:
    since = ends(bench.gateway.service.bootstrap, PREDICTIONS.name)
    mine = new_id()
    with bench.stub() as jobs:
        ids = {jobs.submit(submission_id=mine) for _ in range(5)}
        [job_id] = ids
        answer = prediction_id(jobs.end(job_id).response)
        last = prediction_id(jobs.end(jobs.submit(submission_id=new_id())).response)
    assert {m.context.prediction_id for m in served(bench, since, 2)} == {answer, last}


def test_killed_in_mid_work_it_loses_nothing_and_predicts_nothing_twice(bench: Bench) -> None:
    since = ends(bench.gateway.service.bootstrap, PREDICTIONS.name)
    with bench.stub() as jobs:
        ids = [jobs.submit(np.full((8, 6), n / 100)) for n in range(60)]
        for at in (10, 30):
            wait_for("some to be done", partial(is_done, jobs, ids[at]))
            bench.jobs.kill()
            bench.jobs.start()
            bench.jobs.wait_ready()
        ended = [jobs.end(job_id) for job_id in ids]
    assert {job.state for job in ended} == {"DONE"}
    told = {prediction_id(job.response) for job in ended}
    assert len(told) == 60
    assert {m.context.prediction_id for m in served(bench, since, 60)} == told


def test_accepted_jobs_survive_the_gateway_and_kafkas_absence(bench: Bench) -> None:
    service = bench.gateway.service
    bootstrap = service.environment["SLIPWAY_KAFKA_BOOTSTRAP"]
    assert service.terminate() == 0
    service.environment["SLIPWAY_KAFKA_BOOTSTRAP"] = f"127.0.0.1:{free_port()}"
    service.start()
    service.wait_ready()
    with bench.stub() as jobs:
        ids = [jobs.submit(wait) for wait in (None,) * 5]
        found = jobs.get(ids[0])
    assert (found.state, "on its way" in found.message) == ("QUEUED", True)
    service.kill()
    service.environment["SLIPWAY_KAFKA_BOOTSTRAP"] = bootstrap
    service.start()
    service.wait_ready()
    with bench.stub() as jobs:
        assert [jobs.end(job_id).state for job_id in ids] == ["DONE"] * 5


def test_jobs_wait_for_a_gateway_that_is_away(bench: Bench) -> None:
    service, before = bench.gateway.service, bench.metric("slipway_jobs_retries_total{")
    os.kill(bench.jobs.process.pid, signal.SIGSTOP)  # type: ignore[union-attr]
    with bench.stub() as jobs:
        ids = [jobs.submit() for _ in range(3)]
    wait_for(
        "the jobs to be in Kafka", lambda: 'backlog_bytes{spool="jobs"} 0.0' in metrics_of(bench.gateway)
    )
    service.kill()
    os.kill(bench.jobs.process.pid, signal.SIGCONT)  # type: ignore[union-attr]
    wait_for("a try without a gateway", lambda: bench.metric("slipway_jobs_retries_total{") > before)
    service.start()
    service.wait_ready()
    with bench.stub() as jobs:
        ended = [jobs.end(job_id) for job_id in ids]
    assert {job.state for job in ended} == {"DONE"}
    assert max(job.tries for job in ended) > 1


def metrics_of(gateway: Gateway) -> str:
    return requests.get(f"{gateway.url}/metrics", timeout=5).text


def test_without_a_server_jobs_expire_or_are_cancelled_and_failures_end_them(bench: Bench) -> None:
    bench.gateway.publish(champion(free_port()))  # nobody listens there
    wait_for("the dead route", lambda: bench.gateway.try_epoch() == 0)
    with bench.stub() as jobs:
        dropped, dying = jobs.submit(ttl_s=60), jobs.submit(ttl_s=1.5)
        wait_for("a try", lambda: jobs.get(dropped).tries > 0)
        assert jobs.cancel(dropped).state == "CANCELLED"
        assert jobs.cancel(dropped).state == "CANCELLED"
        expired = jobs.end(dying)
        assert (expired.state, expired.HasField("response")) == ("EXPIRED", False)
        assert "time ran out" in expired.message
        bench.gateway.publish(champion(bench.port))
        bench.gateway.wait_for_epoch()
        failed = jobs.end(jobs.submit([[666, 0, 0, 0, 0, 0]]))
        assert (failed.state, failed.code, failed.tries) == ("FAILED", "INTERNAL", 3)
        assert "cannot bear" in failed.message
        assert jobs.get(dropped).state == "CANCELLED"


def test_a_callback_is_signed_and_tried_again_and_follows_no_redirect(bench: Bench) -> None:
    bench.receiver.statuses[:] = [503, 302]
    with bench.stub() as jobs:
        job_id = jobs.submit(callback_url=bench.receiver.url + "a?b=c")
        assert jobs.end(job_id).state == "DONE"
        wait_for("the delivery", lambda: jobs.get(job_id).callback == "DELIVERED")
        secret = jobs.stub.GetCallbackSecret(GetCallbackSecretRequest(), **jobs.how).secret
    tries = bench.receiver.of("/hooks/a?b=c")
    assert len(tries) == 3
    assert bench.receiver.of("/elsewhere") == []
    for _, sent, body in tries:
        said = verify(secret, sent, body)
        assert (sent["webhook-id"], said["job_id"], said["state"]) == (job_id, job_id, "DONE")
        assert [o["name"] for o in said["response"]["outputs"]] == ["label", "probabilities"]


def test_a_job_that_fails_calls_back_too_and_a_cancelled_one_does_not(bench: Bench) -> None:
    with bench.stub() as jobs:
        failing = jobs.submit([[666, 0, 0, 0, 0, 0]], callback_url=bench.receiver.url + "failed")
        jobs.end(failing)
        wait_for("the callback", lambda: bench.receiver.of("/hooks/failed"))
    said = json.loads(bench.receiver.of("/hooks/failed")[0][2])
    assert (said["state"], said["code"], "response" in said) == ("FAILED", "INTERNAL", False)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:1/hooks/",
        "http://127.0.0.1@evil.example/hooks/",
        "{base}../admin",
        "{base}%2e%2e/admin",
        "{base}\r\nx: y",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "https://127.0.0.1/hooks/",
    ],
)
def test_hostile_callback_urls_are_refused_at_submission(bench: Bench, url: str) -> None:
    with bench.stub() as jobs:
        given = url.replace("{base}", bench.receiver.url)
        assert code_of(lambda: jobs.submit(callback_url=given)) == "INVALID_ARGUMENT"


def test_sigterm_ends_it_cleanly(bench: Bench) -> None:
    assert bench.jobs.terminate() == 0
    bench.jobs.start()
    bench.jobs.wait_ready()
    with bench.stub() as jobs:
        assert jobs.end(jobs.submit()).state == "DONE"
