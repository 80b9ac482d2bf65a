"""Whether a version brings what its spec demands."""

import numpy as np
import pytest

from services.rollout.input_profiles import lacks
from slipway.input_profile_fit import HeldOut, fit_input_profile
from slipway.spec import Spec, parse

ROWS = np.random.default_rng(0).normal(size=(300, 1)).astype(np.float32)
NO_TEXTS = np.empty((300, 0), dtype=object)
HELD_OUT = HeldOut(answers=np.full((60, 2), 0.5), truth=np.zeros(60, dtype=np.int64))


def spec(defence: str = "") -> Spec:
    text = 'name: m\ntask: binary\nfeatures: [{name: a}]\nlabel: {name: y, classes: ["0", "1"]}\n'
    return parse(text + (f"defence: {{{defence}}}\n" if defence else ""))


@pytest.fixture(scope="module")
def density_only() -> bytes:
    return fit_input_profile(spec(), ROWS, NO_TEXTS, held_out=None)


def test_a_spec_that_demands_nothing_takes_every_version() -> None:
    assert lacks(spec(), b"") == ""
    assert lacks(spec("density: {action: none}"), b"") == ""


def test_what_a_spec_demands_must_be_there(density_only: bytes) -> None:
    assert "no input profile" in lacks(spec("density: {action: flag}"), b"")
    assert "no calibration" in lacks(spec("confidence: {coverage: 0.8}"), density_only)
    assert lacks(spec("density: {action: flag}"), density_only) == ""


def test_answers_to_compare_with_must_be_there_where_they_are_demanded(density_only: bytes) -> None:
    wanted = spec("agreement: {action: review}")
    assert "no answers to compare with" in lacks(wanted, density_only)
    answers = np.where(ROWS[:, 0] > 0, "1", "0")
    assert lacks(wanted, fit_input_profile(spec(), ROWS, NO_TEXTS, held_out=None, answers=answers)) == ""


def test_too_few_rows_for_the_rate_are_a_lack(density_only: bytes) -> None:
    found = lacks(spec("density: {false_positive_rate: 0.001}"), density_only)
    assert "cannot show a false-positive rate of 0.001" in found


def test_a_broken_profile_is_a_lack() -> None:
    assert "cannot be defended" in lacks(spec("density: {action: flag}"), b"\xff")


def test_a_version_with_all_of_it_lacks_nothing() -> None:
    whole = fit_input_profile(spec(), ROWS, NO_TEXTS, held_out=HELD_OUT)
    assert lacks(spec("density: {action: abstain}, confidence: {abstain_below: 0.6}"), whole) == ""
