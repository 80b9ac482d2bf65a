"""The retraining service on the real Kafka, PostgreSQL, MLflow and Ray."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from slipway import spec as model_spec
from slipway.errors import NotFound
from slipway.models.signing import PRIVATE_FILE, Signer, Trust
from slipway.onnx_model import OnnxModel
from slipway.registry import CANDIDATE, SIGNATURE_FILE
from slipway.v1 import feedback_pb2, retraining_pb2
from tests.retraining import bench
from tests.retraining.bench import GOOD, SPEC, Bench, parquet, rows
from tests.service_process import ServiceProcess, until

pytestmark = pytest.mark.integration

SLOW = "import time\n" + GOOD.replace("    return", "    time.sleep(4)\n    return")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("retraining")
    with bench.own_retraining(folder, SLIPWAY_STEP_DEADLINE_S="60", SLIPWAY_HOUSEKEEPING_EVERY_S="0.5") as it:
        it.start()
        it.wait_ready()
        yield it


@pytest.fixture
async def it(service: ServiceProcess) -> AsyncIterator[Bench]:
    """A model of its own, and everything around the service."""
    async with bench.bench(service) as around:
        await asyncio.to_thread(service.wait_ready)
        yield around


async def versions(it: Bench) -> list[str]:
    """All registered versions, oldest first."""
    found = []
    for number in range(1, 10):
        try:
            found.append((await asyncio.to_thread(it.registry.find, it.model, str(number))).version)
        except NotFound:
            break
    return found


async def test_a_dataset_becomes_version_1_with_all_its_papers(it: Bench) -> None:
    await it.apply()
    content = parquet(rows(400))
    first, again = await it.register(content), await it.register(content)
    assert (first.rows, first.dataset_id) == (400, again.dataset_id)
    assert (await it.status()).examples == 400
    reports = await it.train()
    blessed = reports[-1].blessed
    assert reports[0].stage == "queued"
    assert {"window:all", "gate", "refit", "registering"} <= {r.stage for r in reports}
    assert (blessed.version, blessed.cause) == ("1", retraining_pb2.RETRAIN_CAUSE_INITIAL)
    assert {s.contestant for s in blessed.scores} == {"window:all", "majority", "last_label"}
    found = await asyncio.to_thread(it.registry.find_alias, it.model, CANDIDATE)
    assert (found.version, found.digest) == ("1", blessed.digest)
    await check_papers(it, found, dataset_id=first.dataset_id)
    assert (await it.outcome_of(blessed.request_id)).version == "1"

    async def is_settled() -> bool:
        return bool((await it.status()).open_requests == 0)

    await until("the event to have left", is_settled)
    status = await it.status()
    assert (status.trainings, status.blessed, status.is_training) == (1, 1, False)
    assert status.last_outcome.startswith("BLESSED: window:")


async def check_papers(it: Bench, version: Any, *, dataset_id: str) -> None:
    def load() -> tuple[Any, ...]:
        return (
            it.registry.load_document(version, "manifest.json"),
            it.registry.load_document(version, "calibration.json"),
            it.registry.load_file(version, "model_card.md").decode(),
            it.registry.load_profile(version),
            it.registry.load_onnx(version, digest=version.digest),
            it.registry.load_file(version, SIGNATURE_FILE),
        )

    manifest, calibration, card, profile, onnx, envelope = await asyncio.to_thread(load)
    secret = await asyncio.to_thread(
        Path(it.service.environment["SLIPWAY_SECRETS_DIR"], PRIVATE_FILE).read_text
    )
    signed = Trust([Signer(secret).public]).verify(envelope, model=it.model, digest=version.digest)
    papers = {"manifest.json", "calibration.json", "model_card.md", "profile.pb", "input_profile.pb"}
    assert signed.files.keys() == papers
    assert (signed.made_by, signed.origin) == (manifest["request"]["actor"], "trained")
    trained = manifest["data"]["training"]
    assert trained["datasets"] == {f"dataset:{dataset_id}": trained["rows"]}
    assert len(trained["sha256"]) == 64
    assert manifest["window"]["end"] == 320
    assert manifest["gate"]["skipped_windows"] == {}
    assert manifest["parity"]["label_mismatches"] == 0
    assert manifest["code"]["libraries"]["scikit-learn"]
    assert calibration["temperature"] > 0
    assert sum(b["rows"] for b in calibration["reliability"]) == 60
    assert "| window:all |" in card
    assert list(profile.classes) == ["no", "yes"]
    assert sum(profile.predicted_counts) == profile.rows == trained["rows"]
    model = OnnxModel(onnx, model_spec.parse(SPEC.format(name=it.model, keep_rows=10)))
    answers = model.predict({"features": np.array([[2, 0], [-2, 0]], dtype=np.float32)})
    assert answers["label"].tolist() == ["yes", "no"]


async def test_live_labels_after_a_drift_become_version_2(it: Bench) -> None:
    await it.apply()
    await it.register(parquet(rows(300)))
    assert (await it.train())[-1].blessed.version == "1"
    await it.promote("1", seq=5)
    drift_since_s = it.served_s + 1
    ids = await it.label(rows(300, seed=2, turned=True))
    await it.correct(ids[0], "yes", revision=3, served_s=drift_since_s)
    await it.correct(ids[0], "no", revision=2, served_s=drift_since_s)
    await it.retract(ids[1], revision=2)
    await it.has_examples(300 + 299)
    blessed = await it.outcome_of(await it.request(drift_since_s=drift_since_s))
    assert (blessed.version, blessed.window, blessed.champion_version) == ("2", "since_drift", "1")
    scores = {s.contestant: s.accuracy for s in blessed.scores}
    assert scores["window:since_drift"] > 0.8 > 0.3 > scores["champion"]
    manifest = await asyncio.to_thread(
        lambda: it.registry.load_document(it.registry.find(it.model, "2"), "manifest.json")
    )
    trained = manifest["data"]["training"]
    assert (trained["live_rows"], trained["datasets"], trained["last"]) == (299, {}, f"{ids[-1]}/0")
    assert manifest["request"]["evidence"] == "errors doubled"
    read = manifest["data"]["label_offsets"]
    assert sum(span["last"] - span["first"] + 1 for span in read) >= 303
    kept = await it.database.fetchrow(
        "SELECT label, numbers FROM examples WHERE model = $1 AND prediction_id = $2", it.model, ids[1]
    )
    assert tuple(kept) == (None, None)
    kept = await it.database.fetchval("SELECT label FROM examples WHERE prediction_id = $1", ids[0])
    assert kept == "yes"


async def test_a_worse_candidate_is_rejected_with_the_scores(it: Bench) -> None:
    await it.apply()
    await it.register(parquet(rows(400)))
    assert (await it.train())[-1].blessed.version == "1"
    await it.promote("1", seq=1)
    shuffled = GOOD.replace(".fit(X, y,", ".fit(X, y.sample(frac=1, random_state=1).values,")
    await it.apply(shuffled, revision=2)

    async def rejected() -> Any:
        last = (await it.train())[-1]
        return last if last.WhichOneof("outcome") == "rejected" else None

    outcome = (await until("the new recipe to be used", rejected)).rejected
    assert outcome.champion_version == "1"
    assert {s.contestant for s in outcome.scores} >= {"champion", "majority", "last_label"}


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        ("", "the spec names no recipe"),
        ("def fit(X, y, sample_weight, seed):\n    return X['nope']\n", "KeyError: 'nope'"),
        ("def fit(X, y, sample_weight, seed): return 5", "fit returned a int"),
        ("def fit(X, y:\n", "SyntaxError"),
        ("import os\ndef fit(X, y, sample_weight, seed): os._exit(3)", "worker process died twice"),
    ],
)
async def test_a_bad_recipe_is_insufficient_and_says_why(it: Bench, recipe: str, reason: str) -> None:
    await it.apply(recipe)
    await it.register(parquet(rows(300)))
    outcome = (await it.train())[-1].insufficient
    assert reason in outcome.reason
    status = await it.status()
    assert (status.insufficient, status.blessed) == (1, 0)


async def test_too_few_rows_are_insufficient(it: Bench) -> None:
    await it.apply()
    await it.register(parquet(rows(150)))
    reason = (await it.train())[-1].insufficient.reason
    assert "all: 70 rows before the hold-out, min_rows is 100" in reason


async def test_a_champion_that_is_gone_is_insufficient(it: Bench) -> None:
    await it.apply()
    await it.register(parquet(rows(300)))
    await it.promote("7", seq=1)
    assert "champion 7 cannot be loaded" in (await it.train())[-1].insufficient.reason


async def test_a_kill_in_the_middle_costs_nothing_and_doubles_nothing(it: Bench) -> None:
    await it.apply(SLOW)
    await it.register(parquet(rows(300)))
    request_id = await it.request()

    async def is_fitting() -> bool:
        return str((await it.status()).stage).startswith("window:")

    await until("the training to be in the middle", is_fitting)
    it.service.kill()
    it.service.start()
    await asyncio.to_thread(it.service.wait_ready)
    status = await it.status()
    assert status.open_requests + status.trainings == 1
    blessed = await it.outcome_of(request_id)
    assert blessed.DESCRIPTOR.name == "CandidateBlessed", blessed.reason
    assert await versions(it) == [blessed.version] == ["1"]
    assert (await it.status()).trainings == 1


async def test_a_version_registered_before_a_kill_is_announced_not_made_again(it: Bench) -> None:
    await it.apply()
    await it.register(parquet(rows(300)))
    blessed = (await it.train())[-1].blessed
    await it.outcome_of(blessed.request_id)
    # As if the process had been killed between the registration and the decision.
    await it.database.execute(
        "UPDATE jobs SET state = 'RUNNING', outcome = NULL, decided_at = NULL WHERE model = $1", it.model
    )

    async def announced_twice() -> bool:
        await it.collect()
        return len(it.events) == 2

    await until("the version to be announced again", announced_twice)
    assert {(e.request_id, e.version, e.digest) for e in it.events} == {
        (blessed.request_id, "1", blessed.digest)
    }
    assert await versions(it) == ["1"]


async def test_too_many_requests_are_refused_in_both_ways(it: Bench) -> None:
    await it.apply(SLOW)
    await it.register(parquet(rows(300)))
    for _ in range(4):
        await it.request()

    async def is_full() -> bool:
        return bool((await it.status()).open_requests == 4)

    await until("four requests to wait", is_full)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await it.train()
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "4 requests are waiting already" in (await it.outcome_of(await it.request())).reason


async def test_strangers_and_mistakes_get_the_right_code(it: Bench) -> None:
    await it.apply()
    with pytest.raises(grpc.aio.AioRpcError) as stranger:
        await it.stub.GetTrainingStatus(retraining_pb2.TrainingStatusRequest(model=it.model), timeout=10)
    assert stranger.value.code() is grpc.StatusCode.UNAUTHENTICATED
    bad: list[tuple[bytes, str | None, grpc.StatusCode]] = [
        (parquet(rows(10).drop(columns="b")), None, grpc.StatusCode.INVALID_ARGUMENT),
        (b"no parquet", None, grpc.StatusCode.INVALID_ARGUMENT),
        (b"", None, grpc.StatusCode.INVALID_ARGUMENT),
        (parquet(rows(10)), "rt-nobody", grpc.StatusCode.NOT_FOUND),
    ]
    for content, model, code in bad:
        with pytest.raises(grpc.aio.AioRpcError) as mistake:
            await it.register(content, model=model)
        assert mistake.value.code() is code, mistake.value.details()


async def test_a_poisonous_label_does_not_stop_its_neighbours(it: Bench) -> None:
    await it.apply()
    table = rows(3)
    table.loc[1, "y"] = "perhaps"
    await it.label(table)
    await it.publish("labels", feedback_pb2.LabelMatched(prediction_id="x", model="rt-nobody", label="1"))
    await it.label(rows(2, seed=5))
    await it.has_examples(4)


async def test_only_the_newest_rows_are_kept(it: Bench) -> None:
    await it.apply(keep_rows=50)
    await it.register(parquet(rows(40)))
    ids = await it.label(rows(30, seed=4))
    await it.has_examples(50)
    kept = await it.database.fetch("SELECT prediction_id FROM examples WHERE model = $1", it.model)
    assert set(ids) <= {row["prediction_id"] for row in kept}


async def test_a_recipe_that_never_ends_is_ended(it: Bench) -> None:
    await it.apply("def fit(X, y, sample_weight, seed):\n    while True: pass\n")
    await it.register(parquet(rows(300)))
    with it.service.restarted_with(SLIPWAY_STEP_DEADLINE_S="15"):
        assert "did not end within 15 s" in (await it.train())[-1].insufficient.reason
    await it.apply(GOOD, revision=2)

    async def blessed() -> bool:
        return bool((await it.train())[-1].WhichOneof("outcome") == "blessed")

    await until("the next training to find a core", blessed)
