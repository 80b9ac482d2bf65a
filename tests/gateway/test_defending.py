"""The defence of one request: what the caller and the record are told, and what follows where it fails."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest
from prometheus_client import REGISTRY

from services.gateway import records
from services.gateway.catalog import Catalog, Model
from services.gateway.defence_outputs import OUTPUTS, check_wanted, columns_of, parameters_of
from services.gateway.defending import defend_answer, defend_answers, defend_input, defend_inputs
from services.gateway.domain.checks import InputTensor, check_inputs
from services.gateway.domain.elements import join
from services.gateway.records import Prediction
from services.gateway.spool import Spool
from slipway import envelope
from slipway.errors import InvalidInput, Unavailable
from slipway.identity.caller import Caller
from slipway.input_profile_fit import HeldOut, fit_input_profile
from slipway.policy.engine import Decision
from slipway.spec import parse
from slipway.v1.predictions_pb2 import PredictionServed
from slipway.v1.rollout_pb2 import Arm, ModelSpec, RouteTable

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(400, 2)).astype(np.float32)
PROBABILITIES = RNG.dirichlet((1, 1), size=200)
HELD_OUT = HeldOut(answers=PROBABILITIES, truth=(RNG.random(200) < PROBABILITIES[:, 1]).astype(np.int64))
SUSPECTED = records.EXTRACTION_SUSPECTED
NO_TEXTS = np.empty((400, 0), dtype=object)


def text(defence: str = "", *, task: str = "binary") -> str:
    classes = ', classes: ["no", "yes"]' if task == "binary" else ""
    whole = f"name: m\ntask: {task}\nfeatures: [{{name: a}}, {{name: b}}]\nlabel: {{name: y{classes}}}\n"
    return whole + (f"defence: {{{defence}}}\n" if defence else "")


def model(defence: str = "", *, profile: bytes | None = None, task: str = "binary") -> Model:
    held_out = HELD_OUT if task == "binary" else HeldOut(answers=ROWS[:, 0], truth=ROWS[:, 1])
    if profile is None:
        profile = fit_input_profile(parse(text(task=task)), ROWS, NO_TEXTS, held_out=held_out)
    arm = Arm(version="3", digest="d", upstream="inference", role="champion", weight_ppm=1_000_000)
    if profile:
        arm.input_profile.MergeFromString(profile)
    catalog = Catalog()
    catalog.apply_spec(ModelSpec(name="m", tenant="t", revision=1, yaml=text(defence, task=task)))
    catalog.apply_route(RouteTable(model="m", tenant="t", epoch=1, salt="s", arms=[arm]))
    return catalog.find("m", tenant="t")


def asked(it: Model, *rows: list[float]) -> Prediction:
    numbers = np.array(rows, dtype="<f4")
    sent = InputTensor(name="features", datatype="FP32", shape=numbers.shape, raw=numbers.tobytes())
    return Prediction(
        prediction_id="p",
        caller=Caller(principal="me", tenant="t", roles=("app",), method="api_key", credential_id="k"),
        decision=Decision(decision_id="d", policy_hash="h"),
        arm=it.route.arms[0],
        form=it.forms["3"],
        contract=it.contract,
        route_epoch=1,
        unit="",
        business_key="",
        request_id="",
        checked=check_inputs(it.contract, [sent]),
        protocol="grpc",
    )


def answer(*yes: float) -> tuple[bytes, ...]:
    labels = join([b"yes" if p > 0.5 else b"no" for p in yes])
    return labels, np.array([[1 - p, p] for p in yes], dtype="<f4").tobytes()


def defended(it: Model, *rows: list[float], yes: tuple[float, ...] = (0.9,)) -> Prediction:
    prediction = asked(it, *rows)
    defend_input(it.guards["3"], prediction)
    defend_answer(it, prediction, answer(*yes))
    return prediction


def test_one_row_is_told_by_parameters() -> None:
    told = parameters_of(defended(model(), [0.0, 0.0]))
    assert told["abstained"] is False
    assert 0 < float(told["input_score"]) < 1
    assert 0.5 < float(told["confidence"]) <= 1
    assert set(orjson.loads(str(told["prediction_set"]))) <= {"no", "yes"}


def test_several_rows_are_told_by_outputs_and_a_review_by_a_parameter() -> None:
    it = model("density: {action: review}")
    prediction = defended(it, [0.0, 0.0], [60.0, 60.0], yes=(0.9, 0.2))
    assert parameters_of(prediction) == {"slipway_review": 1}
    columns = {
        name: np.frombuffer(raw, dtype="<f4")
        for name, (s, raw) in columns_of(prediction).items()
        if s.datatype == "FP32"
    }
    assert columns["input_score"][1] > 1 > columns["input_score"][0]
    assert columns["confidence"].shape == (2,)
    assert len(columns_of(prediction)["prediction_set"][1]) == 4


def test_an_answer_at_odds_with_those_around_is_told_like_a_strange_input() -> None:
    answers = np.where(ROWS[:, 0] > 0, "yes", "no")
    profile = fit_input_profile(parse(text()), ROWS, NO_TEXTS, held_out=None, answers=answers)
    it = model("agreement: {action: review}", profile=profile)
    usual, flipped = (parameters_of(defended(it, [1.0, 0.0], yes=(p,))) for p in (0.9, 0.1))
    assert float(usual["input_score"]) < 1 < float(flipped["input_score"])
    assert "slipway_review" in flipped
    assert "slipway_review" not in usual


def test_a_version_without_profile_answers_as_ever() -> None:
    prediction = defended(model(profile=b""), [60.0, 60.0])
    assert prediction.defended is None
    assert parameters_of(prediction) == {}
    columns = columns_of(prediction)
    assert np.isnan(np.frombuffer(columns["confidence"][1], dtype="<f4")).all()
    assert columns["abstained"][1] == b"\1"


def test_a_regressor_is_told_its_interval() -> None:
    it = model(task="regression")
    prediction = asked(it, [0.0, 0.0])
    defend_input(it.guards["3"], prediction)
    defend_answer(it, prediction, (np.array([5.0], dtype="<f4").tobytes(),))
    low, high = orjson.loads(str(parameters_of(prediction)["prediction_set"]))
    assert low < 5 < high
    assert "confidence" not in parameters_of(prediction)
    assert columns_of(prediction)["prediction_set"][0].datatype == "FP32"
    assert columns_of(replace(prediction, defended=None))["prediction_set"][0].shape == (-1, 2)


def test_outputs_that_the_version_cannot_give_are_refused() -> None:
    bare, whole = model(profile=b"").guards["3"], model().guards["3"]
    with pytest.raises(InvalidInput, match="'confidence' does not exist: version 3 has no calibration"):
        check_wanted(bare, "3", ("label", "confidence"))
    with pytest.raises(InvalidInput, match="'input_score' does not exist: version 3 has no input profile"):
        check_wanted(bare, "3", ("input_score",))
    check_wanted(whole, "3", OUTPUTS)
    check_wanted(bare, "3", ("label", "abstained"))
    with pytest.raises(InvalidInput, match="for a regressor"):
        check_wanted(model(task="regression").guards["3"], "3", ("confidence",))


def recorded(prediction: Prediction, folder: Path) -> PredictionServed:
    packed = records.served(prediction, answer(0.9), now_s=1.0, latency_s=0.1)
    spool = Spool(folder / "s", limit_bytes=1 << 20, segment_bytes=1 << 16)
    spool.append_packed([packed])
    [message], _ = spool.read()
    record = envelope.decode(
        message.topic, key=message.key.encode(), value=message.value, headers=message.headers
    ).message
    spool.close()
    assert isinstance(record, PredictionServed)
    return record


def test_the_record_holds_scores_confidences_and_what_was_done(tmp_path: Path) -> None:
    record = recorded(defended(model("density: {action: abstain}"), [60.0, 60.0]), tmp_path)
    assert record.input_scores[0] > 1
    assert len(record.confidences) == 1
    assert (record.abstained, record.defence_action, list(record.flags)) == (
        b"\1",
        "abstain",
        ["unlike_training"],
    )


@pytest.mark.parametrize(
    ("defence", "suspicion", "action", "flags"),
    [
        ("density: {action: abstain}", "review", "abstain", ["unlike_training", SUSPECTED, "review"]),
        ("density: {action: flag}", "review", "review", ["unlike_training", SUSPECTED, "review"]),
        ("density: {action: review}", "flag", "review", ["unlike_training", "review", SUSPECTED]),
        ("density: {action: none}", "flag", "flag", [SUSPECTED]),
    ],
)
def test_a_suspect_with_a_strange_row_gets_the_stronger_action_and_both_flags(
    defence: str, suspicion: str, action: str, flags: list[str], tmp_path: Path
) -> None:
    prediction = replace(defended(model(defence), [60.0, 60.0]), suspicion=suspicion)
    record = recorded(prediction, tmp_path)
    assert (record.defence_action, list(record.flags)) == (action, flags)


@pytest.mark.parametrize(("suspicion", "flags"), [("flag", [SUSPECTED]), ("review", [SUSPECTED, "review"])])
def test_a_suspect_is_recorded_where_nothing_watches_over_the_version(
    suspicion: str, flags: list[str], tmp_path: Path
) -> None:
    prediction = replace(defended(model(profile=b""), [0.0, 0.0]), suspicion=suspicion)
    record = recorded(prediction, tmp_path)
    assert (record.defence_action, list(record.flags)) == (suspicion, flags)
    assert parameters_of(prediction) == {}  # the caller is not told


def test_a_scorer_that_raises_leaves_the_answer_and_says_so_where_the_spec_is_open() -> None:
    it = model("density: {action: refuse}")
    prediction = asked(it, [60.0, 60.0])
    broken = replace(it.guards["3"], density=replace(it.guards["3"].density, references=np.zeros((3, 9))))  # type: ignore[type-var]
    defend_input(broken, prediction)
    assert prediction.defended is not None
    assert prediction.defended.flags == ("unscored",)
    assert prediction.defended.scores is None


def test_a_scorer_that_raises_refuses_where_the_spec_is_closed() -> None:
    it = model("density: {action: flag}, on_error: closed")
    broken = replace(it.guards["3"], density=replace(it.guards["3"].density, references=np.zeros((3, 9))))  # type: ignore[type-var]
    with pytest.raises(Unavailable, match="version 3 of 'm' cannot be defended as its spec demands"):
        defend_input(broken, asked(it, [0.0, 0.0]))


def test_a_version_that_lacks_what_is_demanded_is_never_passed_over_in_silence() -> None:
    is_open = model("density: {action: flag}", profile=b"")
    assert parameters_of(defended(is_open, [0.0, 0.0]))["abstained"] is False
    assert defended(is_open, [0.0, 0.0]).defended.flags == ("unscored",)  # type: ignore[union-attr]
    closed = model("density: {action: flag}, on_error: closed", profile=b"")
    with pytest.raises(Unavailable, match="has no input profile"):
        defended(closed, [0.0, 0.0])


def test_a_profile_of_other_features_is_a_fault_and_not_a_guess() -> None:
    other = (
        'name: m\ntask: binary\nfeatures: [{name: b}, {name: a}]\nlabel: {name: y, classes: ["no", "yes"]}\n'
    )
    profile = fit_input_profile(parse(other), ROWS, NO_TEXTS, held_out=None)
    assert model(profile=profile).guards["3"].fault == "the input profile is that of other features"


def test_a_profile_that_is_broken_is_a_fault() -> None:
    arm = Arm()
    arm.input_profile.density.detector = "guess"
    it = model(profile=arm.input_profile.SerializeToString())
    assert "broken" in it.guards["3"].fault


def test_an_answer_that_cannot_be_judged_is_said_once() -> None:
    it = model()
    prediction = asked(it, [0.0, 0.0])
    defend_input(it.guards["3"], prediction)
    defend_answer(it, prediction, (join([b"perhaps"]), answer(0.5)[1]))
    defend_answer(it, prediction, (join([b"perhaps"]), answer(0.5)[1]))
    assert prediction.defended is not None
    assert prediction.defended.flags == ("unscored",)


def test_a_stand_in_is_not_sure_of_anything() -> None:
    it = model()
    prediction = asked(it, [0.0, 0.0])
    defend_input(it.guards["3"], prediction)
    stand_in = replace(prediction, arm=replace(prediction.arm, version=""))
    defend_answer(it, stand_in, answer(0.9))
    assert "confidence" not in parameters_of(stand_in)


def test_inputs_that_cannot_be_refused_are_scored_together_and_later() -> None:
    it = model()
    predictions = [asked(it, [0.0, 0.0]), asked(it, [60.0, 60.0])]
    for prediction in predictions:
        defend_input(it.guards["3"], prediction)
        assert prediction.defended is None
    defend_inputs(predictions)
    near, far = (float(prediction.defended.scores[0]) for prediction in predictions)  # type: ignore[union-attr,index]
    assert near < 1 < far


def test_a_request_that_cannot_be_scored_does_not_take_its_neighbours_scores() -> None:
    it = model()
    usual, odd = asked(it, [0.0, 0.0]), asked(it, [0.0, 0.0])
    odd.checked.numbers = np.zeros((1, 3), dtype="<f4")
    for prediction in (odd, usual):
        defend_input(it.guards["3"], prediction)
    defend_inputs([odd, usual])
    assert odd.defended is not None
    assert odd.defended.flags == ("unscored",)
    assert usual.defended is not None
    assert usual.defended.scores is not None


def test_answers_of_a_call_are_judged_together_but_for_those_that_may_be_refused() -> None:
    it, strict = model(), model("on_error: closed")
    free, bound = asked(it, [0.0, 0.0]), asked(strict, [0.0, 0.0])
    defend_input(it.guards["3"], free)
    defend_input(strict.guards["3"], bound)
    defend_answers([(free, answer(0.9)), (bound, answer(0.9))])
    assert free.defended is not None
    assert free.defended.confidences is not None
    assert bound.defended is not None
    assert bound.defended.confidences is None
    alone = defended(it, [0.0, 0.0])
    assert free.defended.confidences == pytest.approx(alone.defended.confidences)  # type: ignore[union-attr]


def test_answers_that_cannot_be_judged_together_are_left_for_each_alone() -> None:
    it = model()
    prediction = asked(it, [0.0, 0.0])
    defend_input(it.guards["3"], prediction)
    nonsense = (join([b"perhaps"]), answer(0.9)[1])
    defend_answers([(prediction, nonsense)])
    assert prediction.defended is not None
    assert prediction.defended.confidences is None
    defend_answer(it, prediction, nonsense)
    assert prediction.defended.flags == ("unscored",)


def test_what_could_not_be_scored_is_counted_and_stands_in_the_record(tmp_path: Path) -> None:
    it = model("density: {action: refuse}")
    prediction, failures = asked(it, [60.0, 60.0]), failed("m", "3")
    guard = it.guards["3"]
    assert guard.density is not None
    defend_input(
        replace(guard, density=replace(guard.density, references=np.zeros((3, 9), np.float32))), prediction
    )
    defend_answer(it, prediction, answer(0.9))
    record = recorded(prediction, tmp_path)
    assert (list(record.flags), list(record.input_scores)) == (["unscored"], [])
    assert failed("m", "3") == failures + 1


def failed(name: str, version: str) -> float:
    labels = {"model": name, "version": version}
    return REGISTRY.get_sample_value("slipway_gateway_defence_failures_total", labels) or 0.0
