from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway import records
from services.gateway.domain.checks import InputTensor, check_inputs
from services.gateway.domain.coding import coder_of
from services.gateway.domain.contract import contract_of
from services.gateway.domain.elements import join
from services.gateway.domain.routing import Arm
from services.gateway.record_form import RecordForm
from services.gateway.records import Prediction, ShadowAnswer
from services.gateway.spool import Spool
from slipway import envelope
from slipway.identity.caller import Caller
from slipway.ids import new_id
from slipway.policy.engine import Decision
from slipway.spec import parse
from slipway.stats.profile import FeatureProfile
from slipway.topics import PREDICTIONS, SHADOW_PREDICTIONS
from slipway.v1.predictions_pb2 import PredictionFailed, PredictionServed, PredictionShadowed

CONTRACT = contract_of(
    parse("""
name: m
task: binary
features:
  - {name: a, range: [0, 1]}
  - {name: b}
  - {name: city, type: categorical, categories: [rome, oslo]}
label: {name: y, classes: ["0", "1"]}
""")
)
ARM = Arm(version="3", digest="d" * 64, upstream="inference", role="canary", weight_ppm=50_000)
PROFILES = [
    FeatureProfile(feature="a", edges=(0.25, 0.5)),
    FeatureProfile(feature="b", edges=(0.0,)),
    FeatureProfile(feature="city", categories=("rome", "oslo")),
]
FORM = RecordForm(CONTRACT, ARM, epoch=7, coder=coder_of(CONTRACT, PROFILES))
NOW_S = 1_700_000_000.25


def prediction(rows: int, *, principal: str = "anna", unit: str = "u", cities: str = "rome") -> Prediction:
    numbers = np.linspace(0, 1, rows, dtype="<f4").tobytes()
    sent = [
        InputTensor(name="a", datatype="FP32", shape=(rows, 1), raw=numbers),
        InputTensor(name="b", datatype="FP32", shape=(rows, 1), raw=numbers),
        InputTensor(name="city", datatype="BYTES", shape=(rows, 1), raw=join([cities.encode()] * rows)),
    ]
    return Prediction(
        prediction_id=new_id(),
        caller=Caller(principal=principal, tenant="t", roles=("app",), method="api_key", credential_id="k"),
        decision=Decision(decision_id=f"d-{principal}", policy_hash="h"),
        arm=ARM,
        form=FORM,
        contract=CONTRACT,
        route_epoch=7,
        unit=unit,
        business_key="order-1",
        request_id="r",
        checked=check_inputs(CONTRACT, sent),
        protocol="rest",
    )


def outputs(rows: int) -> tuple[bytes, ...]:
    return join([b"1"] * rows), np.full((rows, 2), 0.5, dtype="<f4").tobytes()


def read_back(packed: bytes, spool: Spool) -> envelope.Event:
    spool.append_packed([packed])
    [message], position = spool.read()
    spool.advance(position)
    return envelope.decode(
        message.topic, key=message.key.encode(), value=message.value, headers=message.headers
    )


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Spool:
    return Spool(tmp_path_factory.mktemp("s"), limit_bytes=1 << 30, segment_bytes=1 << 24)


@given(st.integers(1, 200), st.text(max_size=20), st.sampled_from(["rome", "bonn", ""]))
def test_a_record_says_all_there_is_to_say(spool: Spool, rows: int, unit: str, city: str) -> None:
    if not city:
        city = "oslo"
    about = prediction(rows, unit=unit, cities=city)
    event = read_back(records.served(about, outputs(rows), now_s=NOW_S, latency_s=0.5), spool)
    message: PredictionServed = event.message
    context = message.context
    assert (event.topic, event.key, event.event_id) == (
        PREDICTIONS.name,
        about.prediction_id,
        about.prediction_id,
    )
    assert (context.prediction_id, context.tenant, context.principal) == (about.prediction_id, "t", "anna")
    assert (context.auth_method, context.credential_id) == ("api_key", "k")
    assert (context.model, context.version, context.digest, context.arm) == ("m", "3", "d" * 64, "canary")
    assert (context.route_epoch, context.unit, context.business_key) == (7, unit, "order-1")
    assert (context.request_id, context.rows, context.latency_s) == ("r", rows, 0.5)
    assert context.protocol == "rest"
    assert context.served_at.ToMilliseconds() == 1_700_000_000_250
    assert [(t.name, t.datatype, list(t.shape), t.raw) for t in message.payload.inputs] == [
        (spec.name, spec.datatype, [rows, 1], raw)
        for spec, raw in zip(CONTRACT.signature.inputs, about.checked.columns, strict=True)
    ]
    assert [(t.name, list(t.shape), t.raw) for t in message.payload.outputs] == [
        ("label", [rows], outputs(rows)[0]),
        ("probabilities", [rows, 2], outputs(rows)[1]),
    ]
    assert [bins.feature for bins in message.feature_bins] == ["a", "b", "city"]
    assert all(len(bins.codes) == rows for bins in message.feature_bins)
    assert list(message.flags) == (["unknown_category:city"] if city == "bonn" else [])


def test_records_of_other_callers_and_sizes_do_not_mix(spool: Spool) -> None:
    for rows, principal in ((1, "anna"), (2, "bert"), (1, "bert"), (2, "anna")):
        about = prediction(rows, principal=principal)
        message = read_back(records.served(about, outputs(rows), now_s=NOW_S, latency_s=0.1), spool).message
        assert (message.context.principal, message.context.rows) == (principal, rows)
        assert (message.context.decision_id, message.context.policy_hash) == (f"d-{principal}", "h")
        assert message.feature_bins[0].codes == bytes([0, 2])[:rows]


def test_a_failure_is_a_record_too(spool: Spool) -> None:
    about = prediction(2)
    packed = records.failed(about, code="INTERNAL", message="x" * 5000, now_s=NOW_S, latency_s=0.1)
    event = read_back(packed, spool)
    message: PredictionFailed = event.message
    assert isinstance(message, PredictionFailed)
    assert (event.event_id, message.code, len(message.message)) == (about.prediction_id, "INTERNAL", 1000)
    assert (message.context.version, message.context.principal, message.context.rows) == ("3", "anna", 2)


SHADOW = Arm(version="4", digest="e" * 64, upstream="inference", role="shadow", weight_ppm=0)


def test_a_copy_is_told_with_the_answer_that_was_given(spool: Spool) -> None:
    about = prediction(2)
    answer = ShadowAnswer(arm=SHADOW, outputs=outputs(2), latency_s=0.25)
    packed = records.shadowed(about, answer, served=["1", "0"], served_s=NOW_S, latency_s=0.5)
    event = read_back(packed, spool)
    message: PredictionShadowed = event.message
    assert (event.topic, event.key) == (SHADOW_PREDICTIONS.name, about.prediction_id)
    assert event.event_id == f"{about.prediction_id}/shadow"
    context = message.context
    assert (context.prediction_id, context.version, context.arm) == (about.prediction_id, "3", "canary")
    assert (context.route_epoch, context.unit, context.latency_s, context.rows) == (7, "u", 0.5, 2)
    assert context.served_at.ToMilliseconds() == 1_700_000_000_250
    assert (message.version, message.digest, message.latency_s) == ("4", "e" * 64, 0.25)
    assert (list(message.served), message.code) == (["1", "0"], "")
    assert [(t.name, list(t.shape), t.raw) for t in message.payload.outputs] == [
        ("label", [2], outputs(2)[0]),
        ("probabilities", [2, 2], outputs(2)[1]),
    ]
    assert not message.payload.inputs


def test_a_copy_that_failed_tells_why_and_has_no_payload(spool: Spool) -> None:
    answer = ShadowAnswer(arm=SHADOW, outputs=(), latency_s=2.0, code="INTERNAL", message="x" * 5000)
    packed = records.shadowed(prediction(1), answer, served=["1"], served_s=NOW_S, latency_s=0.5)
    message: PredictionShadowed = read_back(packed, spool).message
    assert (message.code, len(message.message), message.HasField("payload")) == ("INTERNAL", 1000, False)


@pytest.mark.parametrize("is_pinned", [True, False])
def test_a_record_tells_whether_the_caller_chose_the_version(spool: Spool, is_pinned: bool) -> None:
    about = replace(prediction(1), is_pinned=is_pinned)
    packed = [
        records.served(about, outputs(1), now_s=NOW_S, latency_s=0.1),
        records.failed(about, code="INTERNAL", message="", now_s=NOW_S, latency_s=0.1),
    ]
    assert [read_back(data, spool).message.context.pinned for data in packed] == [is_pinned] * 2


def test_each_credential_of_a_caller_stands_in_its_own_records(spool: Spool) -> None:
    first = prediction(1)
    other = replace(first, caller=replace(first.caller, method="jwt", credential_id="issuer#1"))
    packed = [records.served(it, outputs(1), now_s=NOW_S, latency_s=0.5) for it in (first, other, first)]
    contexts = [read_back(it, spool).message.context for it in packed]
    assert [(c.auth_method, c.credential_id) for c in contexts] == [
        ("api_key", "k"),
        ("jwt", "issuer#1"),
        ("api_key", "k"),
    ]
