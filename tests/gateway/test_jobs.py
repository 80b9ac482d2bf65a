"""The door of jobs: what is accepted is on disk, what is asked is answered honestly."""

from pathlib import Path
from typing import Any

import pytest

from services.gateway.catalog import Catalog
from services.gateway.domain.checks import InputTensor
from services.gateway.domain.job_ids import JobOwner
from services.gateway.domain.job_options import JobOptions, JobRules
from services.gateway.handlers.jobs import JobDoor, request_bytes
from services.gateway.job_web import parse_json, parse_protobuf
from services.gateway.permissions import Permissions
from services.gateway.spool import Spool
from services.gateway.wire import InferCall, read_call
from slipway.callback_urls import policy_of
from slipway.clock import ManualClock
from slipway.envelope import decode
from slipway.errors import InvalidInput, NotFound, Overloaded
from slipway.identity.caller import Caller
from slipway.identity.credentials import Credentials
from slipway.ids import new_id
from slipway.job_terms import LONGEST_TTL_S
from slipway.oip.open_inference_pb2 import ModelInferRequest
from slipway.policy.access import builtin_policies
from slipway.v1.jobs_pb2 import Job, SubmitJobRequest
from tests.gateway.limits.stand_in import at_once, limits_of

ANNA = Caller(principal="anna", tenant="default", roles=("app",), method="api_key", credential_id="a")
BERT = Caller(principal="bert", tenant="default", roles=("app",), method="api_key", credential_id="b")
REQUEST = ModelInferRequest(model_name="m").SerializeToString()


class Admission:
    """Takes everything but one model."""

    def identify(self, credentials: Credentials) -> Caller:
        return ANNA if credentials.api_key == "a" else BERT

    def check(self, caller: Caller, call: InferCall) -> None:
        if call.model != "m":
            raise NotFound(f"model {call.model!r}")


class Desk:
    """Knows the jobs that a test puts there."""

    def __init__(self) -> None:
        self.jobs: dict[tuple[str, str], Job] = {}

    async def find(self, owner: JobOwner, job_id: str, *, wait_s: float) -> Any:
        try:
            return self.jobs[owner.principal, job_id]
        except KeyError:
            raise NotFound(f"{job_id} after {wait_s}") from None

    async def cancel(self, owner: JobOwner, job_id: str) -> Any:
        return Job(job_id=job_id, state="CANCELLED", message=owner.principal)

    async def callback_secret(self, owner: JobOwner) -> str:
        return f"secret of {owner.tenant}/{owner.principal}"


class Door:
    def __init__(self, folder: Path, limit_bytes: int = 1_000_000) -> None:
        self.clock, self.desk = ManualClock(1_760_000_000.0), Desk()
        self.spool = Spool(folder / "jobs", limit_bytes=limit_bytes, segment_bytes=500_000)
        rules = JobRules(
            default_ttl_s=60.0, callbacks=policy_of("https://h.example/", ""), reply_topics=("job_results",)
        )
        self.it = JobDoor(
            Admission(),
            self.spool,
            desk=self.desk,
            permissions=Permissions(builtin_policies(), Catalog()),
            limits=limits_of(),
            rules=rules,
            clock=self.clock,
            secret=b"s" * 64,
        )

    def submit(self, request: bytes | InferCall = REQUEST, **options: Any) -> str:
        return at_once(self.it.take(ANNA, request, JobOptions(**options))).job_id

    def written(self) -> list[Any]:
        messages, _ = self.spool.read()
        return [decode(m.topic, key=m.key.encode(), value=m.value, headers=m.headers) for m in messages]


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


def test_an_accepted_job_is_on_disk_for_the_topic_of_its_priority(door: Door) -> None:
    ids = [door.submit(priority=priority) for priority in ("high", "", "low")]
    events = door.written()
    assert [e.topic for e in events] == [
        "inference_jobs_high",
        "inference_jobs_normal",
        "inference_jobs_low",
    ]
    assert (
        [e.message.job_id for e in events] == [e.key for e in events] == [e.event_id for e in events] == ids
    )
    first = events[0].message
    assert (first.tenant, first.principal, first.model, first.request) == ("default", "anna", "m", REQUEST)
    who = first.submitter
    assert (list(who.roles), who.method, who.credential_id) == (["app"], "api_key", "a")
    assert first.expires_at.seconds - first.submitted_at.seconds == 60


def test_what_is_refused_leaves_nothing(door: Door) -> None:
    other = ModelInferRequest(model_name="other").SerializeToString()
    for request, options, error in (
        (b"\xff\xff", {}, InvalidInput),
        (other, {}, NotFound),
        (REQUEST, {"priority": "urgent"}, InvalidInput),
        (REQUEST, {"callback_url": "http://127.0.0.1/"}, InvalidInput),
    ):
        with pytest.raises(error):
            door.submit(request, **options)
    assert door.written() == []


def test_a_full_disk_space_refuses(tmp_path: Path) -> None:
    door = Door(tmp_path, limit_bytes=1)
    door.submit()
    with pytest.raises(Overloaded, match="send it again later"):
        door.submit()


def test_a_submission_of_one_name_has_one_id(door: Door) -> None:
    door.clock._now_s = _time_of(name := new_id())
    assert door.submit(submission_id=name) == door.submit(submission_id=name)
    assert door.submit() != door.submit()


def _time_of(text: str) -> float:
    return int(text.replace("-", "")[:12], 16) / 1000


async def test_a_job_that_the_desk_has_not_seen_is_on_its_way_until_it_would_have_expired(door: Door) -> None:
    job_id = door.submit()
    job = await door.it.find(ANNA, job_id)
    assert (job.job_id, job.state, "on its way" in job.message) == (job_id, "QUEUED", True)
    door.clock.advance(LONGEST_TTL_S + 1)
    with pytest.raises(NotFound, match="deleted some time after"):
        await door.it.find(ANNA, job_id)


async def test_the_desk_says_what_it_knows(door: Door) -> None:
    job_id = door.submit()
    door.desk.jobs["anna", job_id] = Job(job_id=job_id, state="DONE")
    assert (await door.it.find(ANNA, job_id, wait_s=20)).state == "DONE"
    assert (await door.it.cancel(ANNA, job_id)).message == "anna"
    assert await door.it.callback_secret(BERT) == "secret of default/bert"


async def test_who_did_not_submit_a_job_finds_none(door: Door) -> None:
    job_id = door.submit()
    door.desk.jobs["bert", job_id] = Job(job_id=job_id, state="DONE")  # not even then
    for caller, text in ((BERT, job_id), (ANNA, new_id()), (ANNA, ""), (ANNA, job_id + "x")):
        with pytest.raises(NotFound):
            await door.it.find(caller, text)
        with pytest.raises(NotFound):
            await door.it.cancel(caller, text)


@pytest.mark.parametrize("wait_s", [-1.0, 21.0, float("nan"), float("inf")])
async def test_nobody_waits_for_ever(door: Door, wait_s: float) -> None:
    with pytest.raises(InvalidInput, match="wait_s"):
        await door.it.find(ANNA, door.submit(), wait_s=wait_s)


def test_a_request_taken_apart_is_put_together_again(door: Door) -> None:
    call = InferCall(
        model="m",
        version="2",
        request_id="mine",
        unit="u",
        business_key="k",
        timeout_s=0.25,
        tensors=(InputTensor(name="t", datatype="BYTES", shape=(1, 1), raw=b"\1\0\0\0x"),),
        outputs=("label",),
        is_raw=True,
    )
    assert read_call(request_bytes(call)) == call
    assert door.submit(call)
    assert read_call(door.written()[0].message.request) == call


def test_http_takes_json_and_protobuf() -> None:
    data, options = parse_json(
        b'{"model_name": "m", "parameters": {"slipway_unit": "u", "timeout": 5, "x": 0.5, "y": true},'
        b' "inputs": [{"name": "n", "datatype": "FP32", "shape": [2, 1], "data": [[1], [null]]},'
        b' {"name": "c", "datatype": "BYTES", "shape": [2, 1], "data": ["a", "\xc3\xbc"]}],'
        b' "outputs": [{"name": "label"}], "job": {"priority": "low", "ttl_s": 5}}'
    )
    call = read_call(data)
    assert (call.model, call.unit, call.timeout_s, call.outputs) == ("m", "u", 5e-6, ("label",))
    assert [t.raw for t in call.tensors] == [b"\0\0\x80?\0\0\xc0\x7f", b"\1\0\0\0a\2\0\0\0\xc3\xbc"]
    assert options == JobOptions(priority="low", ttl_s=5.0)
    message = SubmitJobRequest(
        request=ModelInferRequest(model_name="m"), priority="high", submission_id="s", ttl_s=1.5
    )
    data, options = parse_protobuf(message.SerializeToString())
    assert read_call(data).model == "m"
    assert options == JobOptions(priority="high", submission_id="s", ttl_s=1.5)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not JSON"),
        (b"[]", "not an object"),
        (b"{}", "model_name is missing"),
        (b'{"model_name": 3}', "model_name is missing"),
        (b'{"model_name": "m", "id": 3}', "id is not text"),
        (b'{"model_name": "m", "job": []}', "job is not an object"),
        (b'{"model_name": "m", "job": {"priority": 1}}', "job.priority is not text"),
        (b'{"model_name": "m", "job": {"ttl_s": true}}', "job.ttl_s is not a number"),
        (b'{"model_name": "m", "job": {"retries": 3}}', "unknown options: retries"),
        (b'{"model_name": "m", "inputs": {}}', "inputs is not a list"),
        (b'{"model_name": "m", "inputs": [3]}', "inputs is not a list of objects"),
        (b'{"model_name": "m", "parameters": []}', "parameters is not an object"),
        (b'{"model_name": "m", "parameters": {"a": []}}', "neither text, number nor boolean"),
        (b'{"model_name": "m", "inputs": [{"shape": [1.5]}]}', r"inputs\[0\].shape"),
        (b'{"model_name": "m", "inputs": [{"shape": [1]}]}', r"inputs\[0\].datatype ''"),
        (b'{"model_name": "m", "inputs": [{"datatype": "FP32", "shape": [1]}]}', r"inputs\[0\].data is not"),
        (
            b'{"model_name": "m", "inputs": [{"datatype": "FP32", "shape": [1], "data": ["x"]}]}',
            r"inputs\[0\].data does not fit FP32",
        ),
        (
            b'{"model_name": "m", "inputs": [{"datatype": "INT32", "shape": [1], "data": [99999999999]}]}',
            r"inputs\[0\].data does not fit INT32",
        ),
        (
            b'{"model_name": "m", "inputs": [{"datatype": "BYTES", "shape": [1], "data": [1]}]}',
            "BYTES are texts",
        ),
        (
            b'{"model_name": "m", "inputs": [{"datatype": "FP32", "shape": [2], "data": [[1], [2, 3]]}]}',
            r"inputs\[0\].data does not fit",
        ),
    ],
)
def test_http_says_what_it_cannot_read(body: bytes, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        parse_json(body)


def test_bytes_that_are_no_submission_are_refused() -> None:
    with pytest.raises(InvalidInput, match="SubmitJobRequest"):
        parse_protobuf(b"\xff\xff")
