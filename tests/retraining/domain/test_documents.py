import dataclasses
import hashlib

import numpy as np

from services.retraining.domain.calibration import calibrate
from services.retraining.domain.examples import LIVE, ExampleKey, ExampleSet, first_row_since, lineage_of
from services.retraining.domain.gate import judge
from services.retraining.domain.manifest import OffsetSpan, Origin, manifest
from services.retraining.domain.model_card import model_card
from services.retraining.domain.scores import Answers, majority
from services.retraining.domain.windows import SkippedWindow, WindowPolicy, plan

DATASET = "dataset:abc"


def examples(dataset_rows: int = 3, live_rows: int = 4) -> ExampleSet:
    total = dataset_rows + live_rows
    keys = [ExampleKey(prediction_id=DATASET, row=i, label="0", revision=1) for i in range(dataset_rows)]
    keys += [ExampleKey(prediction_id=f"p{i}", row=0, label="1", revision=2) for i in range(live_rows)]
    return ExampleSet(
        keys=keys,
        sources=[DATASET] * dataset_rows + ["meter"] * live_rows,
        eras=np.array([1] * dataset_rows + [LIVE] * live_rows),
        served_at_s=np.array([0.0] * dataset_rows + [100.0 + i for i in range(live_rows)]),
        codes=np.arange(total) % 2,
        numbers=np.zeros((total, 1), dtype=np.float32),
        texts=np.empty((total, 0), dtype=object),
    )


def test_drift_begins_at_the_first_served_row_of_its_time() -> None:
    it = examples()
    assert first_row_since(it, 101.5) == 5
    assert first_row_since(it, 0.0) == 3
    assert first_row_since(it, 1000.0) is None
    assert first_row_since(it, None) is None


def test_lineage_counts_and_hashes_rows_in_order() -> None:
    it = lineage_of(examples(), 2, end=5)
    assert (it.rows, it.first, it.last) == (3, "dataset:abc/2", "p1/0")
    assert (it.datasets, it.live_rows) == ({DATASET: 1}, 2)
    lines = b"dataset:abc\t2\t0\t1\np0\t0\t1\t2\np1\t0\t1\t2\n"
    assert it.sha256 == hashlib.sha256(lines).hexdigest()
    assert lineage_of(examples(), 2, end=6).sha256 != it.sha256
    assert len(examples()) == 7


def test_the_manifest_and_the_card_tell_the_same_story() -> None:
    truth = np.array([0, 1] * 10)
    probabilities = np.eye(2)[truth] * 0.8 + 0.1
    candidate = Answers(contestant="window:all", predicted=truth, probabilities=probabilities)
    verdict = judge([candidate], truth, champion=None, baselines=[majority(truth, rows=20)], margin=0)
    policy = WindowPolicy(names=("all",), sliding_rows=5, holdout_rows=2, horizon_rows=1, min_rows=1)
    laid_out = plan(policy, rows=7, drift_start=None)
    laid_out = dataclasses.replace(laid_out, skipped=(SkippedWindow(name="sliding", reason="too short"),))
    origin = Origin(
        request_id="r1",
        cause="manual",
        evidence="because",
        actor="anna",
        model="m",
        tenant="default",
        spec_revision=3,
        spec_digest="s",
        recipe_digest="r",
        seed=5,
        code_version="slipway 0",
        library_versions={"numpy": "2"},
        champion_version="",
    )
    document = manifest(
        *(origin, verdict),
        plan=laid_out,
        window=laid_out.windows[0],
        trained_on=lineage_of(examples(), 0, end=7),
        judged_on=lineage_of(examples(), 5, end=7),
        offsets=[OffsetSpan(partition=1, first=2, last=9)],
        parity={"rows": 7},
        training_s=1.5,
    )
    assert document["data"]["label_offsets"] == [{"partition": 1, "first": 2, "last": 9}]
    assert document["gate"]["skipped_windows"] == {"sliding": "too short"}
    assert document["window"]["name"] == "all"
    card = model_card("", document, calibration=calibrate(probabilities, truth))
    for part in (
        "# m",
        "No description",
        "manual. because",
        DATASET,
        "| window:all | 1.0000 |",
        "BLESSED",
        "Limits",
    ):
        assert part in card
    assert model_card("What it is for.", document, calibration=calibrate(probabilities, truth)).count(
        "What it is for"
    )
