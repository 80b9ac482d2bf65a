"""What is done about inputs and answers that cannot be relied on."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from services.gateway.domain.checks import CheckedInput, InputTensor, check_inputs
from services.gateway.domain.contract import Contract, contract_of
from services.gateway.domain.defending import (
    REVIEW,
    UNLIKE_TRAINING,
    Defended,
    Guard,
    guard_of,
    judge_inputs,
)
from services.gateway.domain.defending_answers import (
    NOT_CONFIDENT,
    UNLIKE_NEIGHBOURS,
    Answered,
    draws_of,
    judge_answers,
)
from services.gateway.domain.elements import join
from slipway.errors import InvalidInput
from slipway.spec import parse
from slipway.stats import agreement_fit, density
from slipway.stats.confidence import Calibration, calibrate_classes, calibrate_numbers

RNG = np.random.default_rng(0)
TRAINING = RNG.normal(size=(400, 2)).astype(np.float32)
MODEL = density.fit(TRAINING, false_positive_rate=0.05)
PROBABILITIES = RNG.dirichlet((2, 1, 1), size=600)
TRUTH = np.array([RNG.choice(3, p=p) for p in PROBABILITIES])
CALIBRATION = calibrate_classes(PROBABILITIES, TRUTH)
FAR = [50.0, 50.0]
NEAR = [0.0, 0.0]
THIRDS = (1 / 3, 1 / 3, 1 / 3)
AT_HOME = [1.0, 0.0]  # in the midst of those that are answered "1"


def contract(defence: str = "", *, task: str = "multiclass") -> Contract:
    classes = ', classes: ["0", "1", "2"]' if task != "regression" else ""
    text = f"name: m\ntask: {task}\nfeatures: [{{name: a}}, {{name: b}}]\nlabel: {{name: y{classes}}}\n"
    return contract_of(parse(text + (f"defence: {{{defence}}}\n" if defence else "")))


def guard(defence: str = "", *, calibration: Calibration | None = CALIBRATION, **other: Any) -> Guard:
    it = contract(defence, **other)
    return guard_of(it.defence, classes=it.classes, density=MODEL, calibration=calibration)


def checked(*rows: list[float]) -> CheckedInput:
    numbers = np.array(rows, dtype="<f4")
    sent = InputTensor(name="features", datatype="FP32", shape=numbers.shape, raw=numbers.tobytes())
    return check_inputs(contract(), [sent])


def judge_input(it: Guard, request: CheckedInput) -> Defended:
    [found] = judge_inputs(it, [request])
    return found


def reply(
    *rows: tuple[float, ...],
    request: CheckedInput | None = None,
    labels: tuple[str, ...] | None = None,
    **more: Any,
) -> Answered:
    """Probabilities of each row, and the class that is likeliest where no other is said to be answered."""
    numbers = np.array(rows)
    likeliest = tuple(str(place) for place in numbers.argmax(axis=1))
    return Answered(
        checked=request or replace(checked(NEAR), rows=len(rows)),
        labels=likeliest if labels is None else labels,
        numbers=numbers,
        **{"prediction_id": "p"} | more,
    )


def answered(it: Guard, *rows: tuple[float, ...], found: Defended | None = None, **more: Any) -> Defended:
    found = found or Defended(abstained=bytearray(len(rows)))
    judge_answers(it, [found], [reply(*rows, **more)])
    return found


def test_a_row_like_the_training_rows_is_scored_and_nothing_is_done() -> None:
    found = judge_input(guard(), checked(NEAR))
    assert found.scores is not None
    assert found.scores[0] < 1
    assert (found.action, found.flags, bytes(found.abstained)) == ("", (), b"\0")


@pytest.mark.parametrize(
    ("action", "flags", "abstained", "done"),
    [
        ("none", (), b"\0\0", ""),
        ("flag", (UNLIKE_TRAINING,), b"\0\0", "flag"),
        ("review", (UNLIKE_TRAINING, REVIEW), b"\0\0", "review"),
        ("abstain", (UNLIKE_TRAINING,), b"\0\1", "abstain"),
    ],
)
def test_a_suspicious_row_leads_to_what_the_spec_says(
    action: str, flags: tuple[str, ...], abstained: bytes, done: str
) -> None:
    found = judge_input(guard(f"density: {{action: {action}}}"), checked(NEAR, FAR))
    assert (found.flags, bytes(found.abstained), found.action) == (flags, abstained, done)


def test_a_refusal_names_row_score_and_threshold() -> None:
    it = guard("density: {action: refuse, false_positive_rate: 0.02}")
    with pytest.raises(
        InvalidInput, match=r"row 1 is unlike .* score [0-9.]+ is above the threshold 1, which 0.02"
    ):
        judge_input(it, checked(NEAR, FAR))


def test_the_threshold_is_that_of_the_specs_rate() -> None:
    strict, loose = (
        guard("density: {false_positive_rate: 0.01}"),
        guard("density: {false_positive_rate: 0.3}"),
    )
    of_strict, of_loose = (judge_input(it, checked(NEAR)).scores for it in (strict, loose))
    assert of_strict is not None
    assert of_loose is not None
    assert of_strict[0] < of_loose[0]


def test_a_score_that_is_no_number_is_an_error() -> None:
    it = guard()
    assert it.density is not None
    broken = replace(it, density=replace(it.density, projection=it.density.projection * np.float32("nan")))
    with pytest.raises(ValueError, match="NaN"):
        judge_input(broken, checked(NEAR))


def test_categories_are_scored_in_the_order_of_the_spec() -> None:
    features = "[{name: c, type: categorical}, {name: a}]"
    label = "{name: y, classes: ['0', '1']}"
    it = contract_of(parse(f"name: m\ntask: binary\nfeatures: {features}\nlabel: {label}\n"))
    colours = RNG.choice(["red", "blue"], size=400).tolist()
    model = density.fit(TRAINING[:, :1], texts=[colours], false_positive_rate=0.05)
    watch = guard_of(it.defence, classes=it.classes, density=model, calibration=None)
    number = InputTensor(name="a", datatype="FP32", shape=(1, 1), raw=np.zeros(1, dtype="<f4").tobytes())
    scores = []
    for colour in (b"red", b"mauve"):
        text_tensor = InputTensor(
            name="c", datatype="BYTES", shape=(1, 1), raw=len(colour).to_bytes(4, "little") + colour
        )
        found = judge_input(watch, check_inputs(it, [text_tensor, number]))
        assert found.scores is not None
        scores.append(found.scores[0])
    assert scores[1] > 1 > scores[0]


def compared(defence: str = "", *, classes: int = 3) -> Guard:
    """A version that answers by the sign of the first feature."""
    codes = (TRAINING[:, 0] > 0).astype(np.int64)
    rows = density.apart(len(TRAINING), false_positive_rate=0.05)
    answers = agreement_fit.fit(MODEL, TRAINING, codes=codes, classes=classes, rows=rows)
    it = contract(defence)
    return guard_of(it.defence, classes=it.classes, density=MODEL, calibration=None, agreement=answers)


@pytest.mark.parametrize(
    ("action", "flags", "abstained"),
    [
        ("flag", (UNLIKE_NEIGHBOURS,), b"\0\0"),
        ("review", (UNLIKE_NEIGHBOURS, REVIEW), b"\0\0"),
        ("abstain", (UNLIKE_NEIGHBOURS,), b"\0\1"),
        ("none", (), b"\0\0"),
    ],
)
def test_an_answer_at_odds_with_those_around_leads_to_what_the_spec_says(
    action: str, flags: tuple[str, ...], abstained: bytes
) -> None:
    it = compared(f"density: {{false_positive_rate: 0.05}}, agreement: {{action: {action}}}")
    rows = checked(AT_HOME, AT_HOME)
    found = judge_input(it, rows)
    answered(it, *[THIRDS] * 2, request=rows, labels=("1", "0"), found=found)
    assert found.scores is not None
    assert (found.flags, bytes(found.abstained)) == (flags, abstained)
    assert bool(found.scores[1] > 1) is (action != "none")


def test_a_stand_in_is_judged_by_its_own_profile() -> None:
    rows, found = checked(AT_HOME), Defended(abstained=bytearray(1))
    answered(compared(), THIRDS, request=rows, labels=("1",), found=found)
    assert found.scores is not None
    with pytest.raises(ValueError, match="not in tuple"):
        answered(compared(), THIRDS, request=rows, labels=("9",))


def test_answers_of_other_classes_are_as_none_and_a_fault_where_they_are_demanded() -> None:
    assert compared(classes=2).agreement is None
    assert (
        compared("agreement: {action: flag}", classes=2).fault == "the version has no answers to compare with"
    )


def test_what_a_spec_demands_and_a_version_lacks_is_a_fault() -> None:
    it = contract("density: {action: flag}, confidence: {coverage: 0.8}")
    bare = guard_of(it.defence, classes=it.classes, density=None, calibration=None)
    assert bare.fault == "the version has no input profile; the version has no calibration"
    assert not bare.is_idle
    nothing = judge_input(bare, checked(FAR))
    assert nothing.scores is None
    assert answered(bare, (0.5, 0.3, 0.2)).confidences is None


def test_without_a_demand_a_version_without_profile_is_left_alone() -> None:
    it = contract()
    assert guard_of(it.defence, classes=it.classes, density=None, calibration=None).is_idle


@pytest.mark.parametrize(("defence", "fault"), [("", False), ("density: {false_positive_rate: 0.001}", True)])
def test_a_rate_that_cannot_be_shown_is_a_fault_where_it_is_demanded(defence: str, fault: bool) -> None:
    it = contract(defence)
    few = replace(MODEL, calibration=MODEL.calibration[:50])
    made = guard_of(it.defence, classes=it.classes, density=few, calibration=None)
    assert bool(made.fault) is fault
    assert made.density is None


def test_confidence_is_the_calibrated_probability_of_the_answer() -> None:
    found = answered(guard(), (0.1, 0.8, 0.1), (0.4, 0.3, 0.3))
    assert found.confidences is not None
    assert 0 < found.confidences[1] < found.confidences[0] < 1
    judged = answered(guard(), (0.1, 0.8, 0.1), labels=("0",))
    assert judged.confidences is not None
    assert judged.confidences[0] < 0.5  # of the class that was answered, not of the likeliest


@pytest.mark.parametrize("method", ["lac", "aps"])
def test_sets_hold_the_truth_as_often_as_the_spec_says(method: str) -> None:
    it = guard(f"confidence: {{coverage: 0.8, method: {method}}}")
    rows = RNG.dirichlet((2, 1, 1), size=4000)
    truth = np.array([RNG.choice(3, p=p) for p in rows])
    found = answered(it, *map(tuple, rows))
    assert found.members is not None
    assert found.members[np.arange(4000), truth].mean() == pytest.approx(0.8, abs=0.06)


@pytest.mark.parametrize(
    ("confidence", "flags", "abstained"),
    [
        ("abstain_below: 0.6", (NOT_CONFIDENT,), b"\0\1"),
        ("abstain_below: 0.6, action: flag", (NOT_CONFIDENT,), b"\0\0"),
        ("abstain_below: 0.6, action: review", (NOT_CONFIDENT, REVIEW), b"\0\0"),
        ("abstain_below: 0.6, action: none", (), b"\0\0"),
        ("when_set_larger_than: 1, coverage: 0.95", (NOT_CONFIDENT,), b"\0\1"),
        ("abstain_below: 0.0", (), b"\0\0"),
    ],
)
def test_doubt_leads_to_what_the_spec_says(confidence: str, flags: tuple[str, ...], abstained: bytes) -> None:
    found = answered(guard(f"confidence: {{{confidence}}}"), (0.98, 0.01, 0.01), (0.34, 0.33, 0.33))
    assert (found.flags, bytes(found.abstained)) == (flags, abstained)


def test_a_set_without_any_class_is_doubt_too() -> None:
    it = guard("confidence: {when_set_larger_than: 2}")
    assert it.sureness is not None
    found = answered(replace(it, sureness=replace(it.sureness, class_limit=0.1)), (0.34, 0.33, 0.33))
    assert found.flags == (NOT_CONFIDENT,)


def test_the_strongest_of_two_actions_is_told_and_review_once() -> None:
    it = guard("density: {action: review}, confidence: {abstain_below: 1.0, action: review}")
    found = answered(it, (0.4, 0.3, 0.3), found=judge_input(it, checked(FAR)))
    assert found.flags == (UNLIKE_TRAINING, REVIEW, NOT_CONFIDENT)
    it = guard("density: {action: abstain}, confidence: {abstain_below: 1.0, action: flag}")
    assert answered(it, (0.4, 0.3, 0.3), found=judge_input(it, checked(FAR))).action == "abstain"


def test_a_regressor_answers_with_an_interval() -> None:
    residuals = RNG.normal(size=500)
    it = guard(calibration=calibrate_numbers(residuals, np.zeros(500)), task="regression")
    found = Defended(abstained=bytearray(1))
    ten = Answered(checked=checked(NEAR), labels=(), numbers=np.array([10.0]), prediction_id="p")
    judge_answers(it, [found], [ten])
    assert found.confidences is None
    assert found.members is not None
    low, high = found.members[0]
    assert low == pytest.approx(10 - 1.65, abs=0.2)
    assert high == pytest.approx(10 + 1.65, abs=0.2)


def test_a_class_that_the_spec_does_not_know_is_an_error() -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        answered(guard(), (0.4, 0.3, 0.3), labels=("9",))


def test_draws_are_uniform_and_the_same_whenever_asked() -> None:
    draws = draws_of("018f", 2000)
    np.testing.assert_array_equal(draws, draws_of("018f", 2000))
    assert draws.mean() == pytest.approx(0.5, abs=0.03)
    assert ((draws >= 0) & (draws < 1)).all()


def test_requests_judged_together_are_judged_as_each_alone() -> None:
    calibrated = guard("density: {action: abstain}, confidence: {method: aps, abstain_below: 0.6}")
    it = replace(compared(), defence=calibrated.defence, sureness=calibrated.sureness)
    requests = [checked(NEAR), checked(FAR, NEAR), checked([1.0, -1.0])]
    rows = [[(0.1, 0.8, 0.1)], [(0.5, 0.3, 0.2), (0.0, 0.1, 0.9)], [(0.4, 0.3, 0.3)]]
    answers = [
        reply(*of, request=request, prediction_id=str(of)) for of, request in zip(rows, requests, strict=True)
    ]
    together = judge_inputs(it, requests)
    judge_answers(it, together, answers)
    for request, own, found in zip(requests, answers, together, strict=True):
        alone = judge_input(it, request)
        judge_answers(it, [alone], [own])
        for one, other in ((alone.scores, found.scores), (alone.confidences, found.confidences)):
            assert one == pytest.approx(other)
        assert (alone.abstained, alone.flags, alone.action) == (found.abstained, found.flags, found.action)
        assert np.array_equal(alone.members, found.members)  # type: ignore[arg-type]


def test_categories_of_several_requests_stay_with_their_rows() -> None:
    features = "[{name: c, type: categorical}, {name: a}]"
    label = "{name: y, classes: ['0', '1']}"
    it = contract_of(parse(f"name: m\ntask: binary\nfeatures: {features}\nlabel: {label}\n"))
    colours = RNG.choice(["red", "blue"], size=400).tolist()
    model = density.fit(TRAINING[:, :1], texts=[colours], false_positive_rate=0.05)
    watch = guard_of(it.defence, classes=it.classes, density=model, calibration=None)
    number = InputTensor(name="a", datatype="FP32", shape=(1, 1), raw=np.zeros(1, dtype="<f4").tobytes())
    requests = []
    for colour in (b"red", b"green"):
        text = InputTensor(name="c", datatype="BYTES", shape=(1, 1), raw=join([colour]))
        requests.append(check_inputs(it, [text, number]))
    usual, strange = judge_inputs(watch, requests)
    assert float(usual.scores[0]) < float(strange.scores[0])  # type: ignore[index]


def test_what_is_judged_again_is_told_once() -> None:
    it = guard("confidence: {abstain_below: 0.6}")
    found = answered(it, THIRDS)
    assert answered(it, THIRDS, found=found).flags == (NOT_CONFIDENT,)
