"""Input profiles: there and back, and what is refused."""

import numpy as np
import pytest

from slipway.errors import InvalidInput
from slipway.input_profile_fit import HeldOut, fit_input_profile
from slipway.input_profiles import MAX_BYTES, InputProfile, from_bytes, to_bytes
from slipway.spec import Spec, parse
from slipway.stats import agreement_fit, density
from slipway.stats.agreement import raw_scores
from slipway.stats.columns import to_points
from slipway.stats.confidence import calibrate_classes
from slipway.stats.density import apart
from slipway.v1 import defence_pb2

RNG = np.random.default_rng(0)
NUMBERS = RNG.normal(size=(300, 3)).astype(np.float32)
COLOURS = RNG.choice(["red", "blue"], size=300).tolist()
MODEL = density.fit(NUMBERS, texts=[COLOURS])
PROBABILITIES = RNG.dirichlet((1, 1), size=100)
TRUTH = (RNG.random(100) < PROBABILITIES[:, 1]).astype(np.int64)
WHOLE = InputProfile(
    features=("a", "b", "c", "d"), density=MODEL, calibration=calibrate_classes(PROBABILITIES, TRUTH)
)


def spec(defence: str = "", *, task: str = "binary") -> Spec:
    classes = ', classes: ["0", "1"]' if task == "binary" else ""
    features = "[{name: a}, {name: d, type: categorical}, {name: b}, {name: c}]"
    text = f"name: m\ntask: {task}\nfeatures: {features}\nlabel: {{name: y{classes}}}\n"
    return parse(text + (f"defence: {{{defence}}}\n" if defence else ""))


def texts() -> np.ndarray:
    return np.array([COLOURS], dtype=object).T


def test_scores_are_the_same_after_the_way_there_and_back() -> None:
    back = from_bytes(to_bytes(WHOLE))
    assert back.density is not None
    assert back.calibration is not None
    rated = density.at_rate(back.density, 0.01)
    np.testing.assert_allclose(
        density.score(rated, NUMBERS, texts=[COLOURS]),
        density.score(MODEL, NUMBERS, texts=[COLOURS]),
        rtol=1e-5,
    )
    assert back.features == WHOLE.features
    np.testing.assert_allclose(back.calibration.lac, WHOLE.calibration.lac, rtol=1e-6)  # type: ignore[union-attr]


def test_agreement_is_the_same_after_the_way_there_and_back() -> None:
    answers = np.where(NUMBERS[:, 0] > 0, "1", "0")
    back = from_bytes(fit_input_profile(spec(), NUMBERS, texts(), held_out=None, answers=answers))
    assert back.agreement is not None
    assert back.density is not None
    rows = apart(300, false_positive_rate=0.01)
    codes = (NUMBERS[:, 0] > 0).astype(np.int64)
    made = agreement_fit.fit(back.density, NUMBERS, texts=[COLOURS], codes=codes, classes=2, rows=rows)
    points = to_points(back.density.columns, NUMBERS, [COLOURS])
    np.testing.assert_allclose(
        raw_scores(back.agreement, points, codes), raw_scores(made, points, codes), rtol=1e-4
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"low": b"1234"}, "reshape"),
        ({"references": b"1"}, "reshape"),
        ({"calibration": b"1234"}, "reshape"),
        ({"counts": []}, "no class has a reference"),
    ],
)
def test_answers_that_do_not_fit_the_density_are_refused(fields: dict[str, object], said: str) -> None:
    answers = np.where(NUMBERS[:, 0] > 0, "1", "0")
    data = fit_input_profile(spec(), NUMBERS, texts(), held_out=None, answers=answers)
    message = defence_pb2.InputProfile.FromString(data)
    for name, value in fields.items():
        message.agreement.ClearField(name)
        if value:
            setattr(message.agreement, name, value)
    with pytest.raises(InvalidInput, match=said):
        from_bytes(message.SerializeToString())


def test_answers_without_a_density_are_refused() -> None:
    message = defence_pb2.InputProfile(agreement=defence_pb2.AgreementProfile(counts=[1]))
    with pytest.raises(InvalidInput, match="columns that are not there"):
        from_bytes(message.SerializeToString())


def test_a_profile_may_have_parts_only() -> None:
    back = from_bytes(to_bytes(InputProfile(features=("a",))))
    assert (back.features, back.density, back.calibration) == (("a",), None, None)


def test_the_widest_profile_is_small_enough() -> None:
    wide = RNG.normal(size=(1500, 1000)).astype(np.float32)
    apart_rows, model = apart(1500, false_positive_rate=0.01), density.fit(wide)
    codes = RNG.integers(0, 2, 1500)
    answers = agreement_fit.fit(model, wide, codes=codes, classes=2, rows=apart_rows)
    names = tuple(f"f{i}" for i in range(1000))
    data = to_bytes(InputProfile(features=names, density=model, agreement=answers))
    assert len(data) <= MAX_BYTES


def test_names_without_end_are_refused() -> None:
    with pytest.raises(InvalidInput, match="at most"):
        to_bytes(InputProfile(features=("a" * MAX_BYTES,)))


def _broken(**fields: object) -> bytes:
    message = defence_pb2.InputProfile.FromString(to_bytes(WHOLE))
    for name, value in fields.items():
        setattr(message.density, name, value)
    return message.SerializeToString()


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        _broken(columns=7),
        _broken(kept=3),
        _broken(detector="guess"),
        _broken(projection=b"12345"),
        _broken(center=b"12345678"),
    ],
)
def test_what_does_not_fit_together_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="input profile"):
        from_bytes(data)


def test_numeric_features_come_before_categorical_ones() -> None:
    made = from_bytes(fit_input_profile(spec(), NUMBERS, texts(), held_out=None))
    assert made.features == ("a", "b", "c", "d")
    assert made.density is not None
    assert made.calibration is None


def test_a_classifier_and_a_regressor_are_calibrated_by_what_they_answer() -> None:
    held_out = HeldOut(answers=PROBABILITIES, truth=TRUTH)
    made = from_bytes(fit_input_profile(spec(), NUMBERS, texts(), held_out=held_out))
    assert made.calibration is not None
    assert len(made.calibration.lac) == 75
    numbers = HeldOut(answers=PROBABILITIES[:, 0], truth=PROBABILITIES[:, 1])
    of_regressor = from_bytes(fit_input_profile(spec(task="regression"), NUMBERS, texts(), held_out=numbers))
    assert of_regressor.calibration is not None
    assert len(of_regressor.calibration.residuals) == 100


def test_where_nothing_can_be_known_there_is_no_profile() -> None:
    few = HeldOut(answers=PROBABILITIES[:5], truth=TRUTH[:5])
    assert fit_input_profile(spec(), NUMBERS[:50], texts()[:50], held_out=few) == b""


@pytest.mark.parametrize(
    ("defence", "held_out", "said"),
    [
        ("density: {action: flag}", None, "`defence.density`: .* too few"),
        ("confidence: {coverage: 0.8}", None, "--held-out"),
        (
            "confidence: {coverage: 0.8}",
            HeldOut(answers=PROBABILITIES[:5], truth=TRUTH[:5]),
            "`defence.confidence`: .* too few",
        ),
    ],
)
def test_what_the_spec_demands_and_the_rows_cannot_give_is_refused(
    defence: str, held_out: HeldOut | None, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        fit_input_profile(spec(defence), NUMBERS[:50], texts()[:50], held_out=held_out)
