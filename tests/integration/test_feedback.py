"""The feedback service on the real Kafka and PostgreSQL."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from slipway import tensors
from slipway.ids import new_id
from slipway.kafka_access import parse
from slipway.rpc import operator_metadata
from slipway.stack.certificates import ca_path
from slipway.stack.credentials import kafka_password_file
from slipway.stack.kafka_acls import APPLICATIONS
from slipway.stack.layout import find_layout
from slipway.v1.feedback_pb2 import SummarizeFeedbackRequest
from tests.feedback import bench
from tests.feedback.bench import BERT, CLASSES, SPEC, Bench
from tests.service_process import ServiceProcess, skip_history, until

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "feedback" / "publish_feedback.py"

pytestmark = pytest.mark.integration

WAITING = "SELECT true FROM pg_locks WHERE NOT granted AND relation = 'prediction_rows'::regclass"
KINDS = {
    "binary": {"task": "binary", "label": CLASSES},
    "accepting": {"task": "binary", "label": CLASSES + ", accept_is_label: true"},
    "regression": {"task": "regression", "label": "expire_after_s: 86400"},
    "hasty": {"task": "binary", "label": CLASSES + ", expire_after_s: 3.0"},
}
MODELS = bench.names("fb", [*KINDS, *(f"binary{number}" for number in range(20))])
_unused = iter(range(20))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("feedback")
    with bench.feedback_service(folder, SLIPWAY_MAX_PARKED_PER_TENANT="200") as it:
        bootstrap, group = it.environment["SLIPWAY_KAFKA_BOOTSTRAP"], it.environment["SLIPWAY_CONSUMER_GROUP"]
        specs = {
            name: SPEC.format(name=name, **KINDS.get(kind, KINDS["binary"])) for kind, name in MODELS.items()
        }
        asyncio.run(bench.publish_specs(bootstrap, specs))
        asyncio.run(skip_history(bootstrap, group, ("predictions", "feedback")))
        it.start()
        it.wait_ready()
        yield it
        asyncio.run(bench.publish_specs(bootstrap, dict.fromkeys(specs, "")))


@pytest.fixture
async def it(service: ServiceProcess, request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """Clients with a model that no other test uses: of the kind given as parameter, else a binary one."""
    kind = getattr(request, "param", None) or f"binary{next(_unused)}"
    async with bench.bench(service, MODELS[kind]) as clients:
        yield clients


def of_kind(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("it", [kind], indirect=True)


def brief(event: Any) -> tuple[str, int, str, int]:
    m = event.message
    return m.prediction_id, m.row, getattr(m, "label", "(retracted)"), m.revision


async def test_a_label_is_matched_with_all_that_it_belongs_to(it: Bench) -> None:
    prediction = await it.serve(rows=3, unit="customer-7", pinned=True)
    await it.send(prediction_id=prediction, row=2, label="0", source="till")
    [event] = await it.labels(1)
    m = event.message
    assert (event.key, event.event_id) == (prediction, f"{prediction}/2/1")
    assert brief(event) == (prediction, 2, "0", 1)
    assert (m.tenant, m.principal, m.source) == ("default", "anna", "till")
    assert (m.version, m.digest, m.arm, m.route_epoch) == ("3", "d" * 64, "champion", 7)
    assert (m.unit, m.pinned) == ("customer-7", True)
    assert (m.predicted, list(m.probabilities), list(m.classes)) == ("1", [0.25, 0.75], ["0", "1"])
    assert [t.name for t in m.inputs] == ["features"]
    np.testing.assert_array_equal(tensors.from_tensor(m.inputs[0]), np.array([[4, 5]], dtype=np.float32))
    assert m.served_at.seconds <= m.observed_at.seconds <= m.matched_at.seconds
    await it.reaches(rows_by_state={"PENDING": 2, "MATCHED": 1}, predictions=1, quarantined_by_reason={})


async def test_json_without_anything_of_ours(it: Bench) -> None:
    prediction = await it.serve()
    body = {"predictionId": prediction, "feedbackToken": it.token(prediction), "label": "1"}
    headers = [("content-type", b"application/json")]
    await it.send_raw(json.dumps(body).encode(), key=prediction, headers=headers)
    assert [brief(e) for e in await it.labels(1)] == [(prediction, 0, "1", 1)]


async def test_the_example_for_client_authors_works(it: Bench) -> None:
    prediction, stack = await it.serve(), find_layout()
    for says in (("--label", "0"), ("--label", "1"), ("--retract",)):
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", str(EXAMPLE), prediction, it.token(prediction), *says),
            *("--bootstrap", parse(it.bootstrap).servers),
            *("--password-file", str(stack.secrets / kafka_password_file(APPLICATIONS))),
            *("--ca-file", str(ca_path(stack.certificates))),
        )
        assert await program.wait() == 0
    assert [brief(e)[2:] for e in await it.labels(3)] == [("0", 1), ("1", 2), ("(retracted)", 3)]


async def test_corrections_confirmations_and_retractions_in_order_of_arrival(it: Bench) -> None:
    prediction = await it.serve()
    await it.send(prediction_id=prediction, label="0", source="till")
    await it.send(prediction_id=prediction, label="0", source="audit")  # says the same: no event
    await it.send(prediction_id=prediction, edited_label="1", source="audit")
    await it.send(prediction_id=prediction, retract=True, source="till")  # its label is no longer in force
    await it.send(prediction_id=prediction, retract=True, source="audit")
    await it.send(prediction_id=prediction, label="1.0", source="till")
    assert [brief(e)[2:] for e in await it.labels(4)] == [("0", 1), ("1", 2), ("(retracted)", 3), ("1", 4)]
    await it.reaches(rows_by_state={"MATCHED": 1}, quarantined_by_reason={})


async def test_feedback_that_comes_twice_has_one_effect(it: Bench) -> None:
    prediction = await it.serve()
    for label in ("0", "1", "0"):
        await it.send(prediction_id=prediction, label=label, event_id="same event")
        await it.send(prediction_id=prediction, row=0, label=label, feedback_id="same feedback")
    last = await it.serve()
    await it.send(prediction_id=last, label="1")
    # The second identity says what is already in force, and whatever repeats one of them is passed over.
    assert [brief(e) for e in await it.labels(2)] == [(prediction, 0, "0", 1), (last, 0, "1", 1)]


async def test_a_record_that_comes_twice_is_one_prediction_and_a_counted_double(it: Bench) -> None:
    record = it.record(rows=2)
    for _ in range(3):
        await it.publish_record(record)
    await it.reaches(predictions=1, prediction_doubles=2, rows_by_state={"PENDING": 2})


async def test_early_feedback_waits_for_its_record_and_keeps_its_order(it: Bench) -> None:
    record = it.record(rows=2)
    prediction = record.context.prediction_id
    await it.send(prediction_id=prediction, label="0")
    await it.send(prediction_id=prediction, label="1")
    await it.send(prediction_id=prediction, row=7, label="1")
    await it.send(business_key="order-9", model=it.model, label="1")
    await it.reaches(parked=4, predictions=0)
    await it.publish_record(record)
    keyed = await it.serve(key="order-9")
    assert sorted(brief(e) for e in await it.labels(3)) == sorted(
        [(prediction, 0, "0", 1), (prediction, 0, "1", 2), (keyed, 0, "1", 1)]
    )
    await it.reaches(
        parked=0, quarantined_by_reason={"bad_row": 1}, rows_by_state={"MATCHED": 2, "PENDING": 1}
    )


async def test_a_business_key_is_its_owners_and_means_the_last_prediction(it: Bench) -> None:
    await it.serve(key="order-1")
    second = await it.serve(key="order-1")
    his = await it.serve(key="order-1", owner=BERT)
    await it.send(business_key="order-1", model=it.model, label="0")
    await it.send(business_key="order-1", model=it.model, label="1", owner=BERT)
    assert sorted(brief(e) for e in await it.labels(2)) == sorted([(second, 0, "0", 1), (his, 0, "1", 1)])


async def test_bad_feedback_is_kept_apart_and_the_partition_goes_on(it: Bench) -> None:
    prediction = await it.serve()
    other = await it.serve()
    bad: dict[str, dict[str, Any]] = {
        "no_subject": {"label": "1"},
        "no_content": {"prediction_id": prediction, "retract": False},
        "bad_field": {"prediction_id": prediction, "label": "1", "source": "nul\0"},
        "bad_token": {"prediction_id": prediction, "label": "1", "feedback_token": it.token(other)},
        "foreign": {"prediction_id": prediction, "label": "1", "owner": BERT},
        "bad_row": {"prediction_id": prediction, "row": 1, "label": "1"},
        "unknown_class": {"prediction_id": prediction, "label": "2"},
    }
    for message in bad.values():
        await it.send(**message)
    await it.send(prediction_id=prediction, label="1")
    assert [brief(e) for e in await it.labels(1)] == [(prediction, 0, "1", 1)]
    assert sorted(await it.quarantined()) == sorted(bad)
    attributable = {reason: 1 for reason in bad if reason != "no_subject"}
    await it.reaches(quarantined_by_reason=attributable)
    row = await it.database.fetchrow(
        "SELECT * FROM quarantine WHERE model = $1 AND reason = 'bad_row'", it.model
    )
    assert "row 1 of a prediction with 1 rows" in row["detail"]
    assert f'prediction_id: "{prediction}"' in row["payload"]


async def test_what_cannot_be_read_goes_to_the_dead_letters(it: Bench) -> None:
    prediction = await it.serve()
    as_json = [("content-type", b"application/json")]
    poison: list[tuple[bytes | None, list[tuple[str, bytes]]]] = [
        (b"\xff\xff\xff", []),
        (b"{not json", as_json),
        (b"[1, 2]", as_json),
        (b'{"label": 1}', as_json),
        (b'{"colour": "red"}', as_json),
        (b'{"label": "\\ud800"}', as_json),
        (b'{"observedAt": "yesterday"}', as_json),
        (b"{}" * 3, [("content-type", b"text/csv")]),
        (b"x", [("ce_type", b"slipway.v1.Unheard")]),
        (None, []),
    ]
    for value, headers in poison:
        await it.send_raw(value, key=prediction, headers=headers)
    await it.send(prediction_id=prediction, label="1")
    assert [brief(e) for e in await it.labels(1)] == [(prediction, 0, "1", 1)]
    dead = await it.dead_letters(len(poison))
    assert [value for value, _ in dead] == [value or b"" for value, _ in poison]
    assert all(headers["slipway_reason"].startswith("feedback: ") for _, headers in dead)


async def test_a_record_that_contradicts_itself_harms_no_neighbour(it: Bench) -> None:
    broken = it.record(rows=2)
    broken.context.rows = 3
    before, after = it.record(), it.record()
    await asyncio.gather(*(it.publish_record(r) for r in (before, broken, after)))
    await it.reaches(predictions=2, rows_by_state={"PENDING": 2})


async def test_parked_feedback_is_bounded_per_tenant(it: Bench) -> None:
    for _ in range(202):
        await it.send(prediction_id=new_id(), model=it.model, label="1")
    await it.reaches(parked=200, quarantined_by_reason={"too_many_parked": 2})
    await it.database.execute("DELETE FROM parked")


@of_kind("accepting")
async def test_accepted_is_a_label_where_the_spec_says_so_and_signals_are_kept(it: Bench) -> None:
    prediction = await it.serve(rows=2)
    await it.send(prediction_id=prediction, accepted=False)
    await it.send(prediction_id=prediction, rating=0.5)
    await it.send(prediction_id=prediction, business_value=-3.5)
    await it.send(prediction_id=prediction, row=1, accepted=True)
    assert [brief(e) for e in await it.labels(1)] == [(prediction, 1, "1", 1)]
    signals = await it.database.fetch(
        "SELECT kind, row_index, value FROM feedback_signals ORDER BY kind, value"
    )
    assert [tuple(r) for r in signals] == [
        ("accepted", 0, 0.0),
        ("accepted", 1, 1.0),
        ("business_value", 0, -3.5),
        ("rating", 0, 0.5),
    ]


def outcome(event: Any) -> tuple[str, int, str, Any]:
    m = event.message
    kind = m.WhichOneof("outcome")
    return m.prediction_id, m.row, kind, getattr(m, kind)


async def test_outcomes_are_matched_with_all_that_they_belong_to(it: Bench) -> None:
    prediction = await it.serve(rows=2, unit="customer-7", pinned=True)
    await it.send(prediction_id=prediction, accepted=True, source="till")
    await it.send(prediction_id=prediction, accepted=False)
    await it.send(prediction_id=prediction, row=1, edited_label="0")
    await it.send(prediction_id=prediction, rating=0.5)
    await it.send(prediction_id=prediction, business_value=-3.5)
    events = await it.outcomes(5)
    assert [outcome(e) for e in events] == [
        (prediction, 0, "accepted", True),
        (prediction, 0, "accepted", False),
        (prediction, 1, "accepted", False),
        (prediction, 0, "rating", 0.5),
        (prediction, 0, "business_value", -3.5),
    ]
    m = events[0].message
    assert (events[0].key, m.tenant, m.principal, m.source) == (prediction, "default", "anna", "till")
    assert (m.version, m.digest, m.arm, m.route_epoch) == ("3", "d" * 64, "champion", 7)
    assert (m.unit, m.pinned) == ("customer-7", True)
    assert m.served_at.seconds <= m.observed_at.seconds <= m.matched_at.seconds
    assert [brief(e) for e in await it.labels(1)] == [(prediction, 1, "0", 1)]  # an edit is a label too


async def test_an_outcome_that_comes_twice_is_one_and_early_ones_wait(it: Bench) -> None:
    record = it.record()
    early = record.context.prediction_id
    await it.send(prediction_id=early, rating=0.25, feedback_id="early")
    await it.reaches(parked=1)
    await it.publish_record(record)
    for value in (1.0, 2.0):
        await it.send(prediction_id=early, business_value=value, feedback_id="same")
    last = await it.serve()
    await it.send(prediction_id=last, rating=1.0)
    events = await it.outcomes(3)
    assert [outcome(e)[2:] for e in events] == [("rating", 0.25), ("business_value", 1.0), ("rating", 1.0)]
    ids = [e.event_id for e in events]
    assert len(set(ids)) == 3
    assert all(
        i.startswith(f"{e.message.prediction_id}/0/outcome/") for i, e in zip(ids, events, strict=True)
    )


async def test_outcomes_survive_a_service_that_is_killed(it: Bench, service: ServiceProcess) -> None:
    predictions = [await it.serve() for _ in range(100)]
    await asyncio.gather(*(it.send(prediction_id=p, rating=0.5, feedback_id=p) for p in predictions))
    service.kill()
    service.start()
    await asyncio.to_thread(service.wait_ready)
    await asyncio.gather(*(it.send(prediction_id=p, rating=0.5, feedback_id=p) for p in predictions))
    last = await it.serve()
    await it.send(prediction_id=last, rating=1.0)

    async def told() -> bool:
        await it.collect()
        return {e.message.prediction_id for e in it.told} == {*predictions, last}

    await until("an outcome of each prediction", told)
    assert len({e.event_id for e in it.told}) == 101


@of_kind("regression")
async def test_labels_of_a_regression_are_numbers(it: Bench) -> None:
    prediction = await it.serve()
    await it.send(prediction_id=prediction, label="many")
    await it.send(prediction_id=prediction, label="12.50")
    assert [brief(e) for e in await it.labels(1)] == [(prediction, 0, "12.5", 1)]
    await it.reaches(quarantined_by_reason={"not_a_number": 1})


@of_kind("hasty")
async def test_what_waits_too_long_expires_and_late_truth_still_counts(it: Bench) -> None:
    prediction = await it.serve()
    await it.send(prediction_id=new_id(), model=it.model, label="1")
    await it.reaches(parked=0, rows_by_state={"EXPIRED": 1}, quarantined_by_reason={"unknown_prediction": 1})
    await it.send(prediction_id=prediction, label="1")
    await it.reaches(rows_by_state={"MATCHED": 1})


async def test_summaries_are_for_operators(it: Bench) -> None:
    for metadata in ((), operator_metadata("guess")):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await it.stub.Summarize(SummarizeFeedbackRequest(), metadata=metadata, timeout=10)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_killed_again_and_again_nothing_is_lost_and_nothing_doubled(
    it: Bench, service: ServiceProcess
) -> None:
    count, kills = 400, 4
    predictions = [it.record() for _ in range(count)]
    for part in range(kills):
        mine = predictions[part::kills]
        await asyncio.gather(*(it.publish_record(record) for record in mine))
        await asyncio.gather(*(it.send(prediction_id=r.context.prediction_id, label="1") for r in mine))
        service.kill()  # somewhere in the middle of them
        service.start()
        await asyncio.to_thread(service.wait_ready)
    events = await it.labels(count)
    assert sorted(brief(e) for e in events) == sorted(
        (r.context.prediction_id, 0, "1", 1) for r in predictions
    )
    await it.reaches(
        predictions=count,
        prediction_doubles=0,
        parked=0,
        rows_by_state={"MATCHED": count},
        quarantined_by_reason={},
    )
    assert service.terminate() == 0
    service.start()
    await asyncio.to_thread(service.wait_ready)
    await it.reaches(predictions=count, rows_by_state={"MATCHED": count})


async def test_killed_in_the_middle_of_a_batch_it_takes_each_prediction_in_once(
    it: Bench, service: ServiceProcess
) -> None:
    records = [it.record(rows=2) for _ in range(500)]
    async with it.database.transaction():
        # A batch writes its predictions, then waits here before their rows.
        await it.database.execute("LOCK TABLE prediction_rows IN SHARE MODE")
        await asyncio.gather(*(it.publish_record(record) for record in records))
        await until("a batch to wait", lambda: it.database.fetchval(WAITING))
        service.kill()
    service.start()
    await asyncio.to_thread(service.wait_ready)
    await it.reaches(predictions=500, prediction_doubles=0, rows_by_state={"PENDING": 1000})


async def test_connections_that_the_database_cuts_are_only_a_delay(
    it: Bench, service: ServiceProcess
) -> None:
    process, count = service.process, 60
    for _ in range(count):
        prediction = await it.serve()
        await it.send(prediction_id=prediction, label="1")
        await it.database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert len(await it.labels(count)) == count
    await it.reaches(rows_by_state={"MATCHED": count}, prediction_doubles=0)
    assert service.process is process
    assert process is not None
    assert process.poll() is None
