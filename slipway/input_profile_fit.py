"""A version's input profile, from its training rows and from held-out rows with the truth."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.errors import InvalidInput
from slipway.input_profiles import InputProfile, to_bytes
from slipway.spec import Spec
from slipway.stats import agreement_fit, density
from slipway.stats.agreement import AgreementModel
from slipway.stats.confidence import Calibration, calibrate_classes, calibrate_numbers
from slipway.stats.density import DensityModel, apart

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldOut:
    """Answers of the version to rows that it has not learned from, and the truth.

    Attributes:
        answers: Probabilities, shape (rows, classes); of a regressor its numbers, shape (rows,).
        truth: Codes of the classes, or numbers.
    """

    answers: NDArray[Any]
    truth: NDArray[Any]


def fit_input_profile(
    spec: Spec,
    numbers: NDArray[Any],
    texts: NDArray[Any],
    *,
    held_out: HeldOut | None,
    answers: NDArray[Any] | None = None,
) -> bytes:
    """The serialized profile; empty where there is nothing to say.

    Args:
        spec: Of the model.
        numbers: Training rows, numeric features in the order of the spec, shape (rows, numeric features).
        texts: Categorical features, shape (rows, categorical features).
        held_out: None where there are none.
        answers: Classes by which the version answers the training rows; None: of a regressor, or not known.
    Raises:
        InvalidInput: The spec demands what these rows cannot give.
    """
    model = _density(spec, numbers, texts)
    agreement = None if model is None else _agreement(spec, numbers, texts, density=model, answers=answers)
    calibration = _calibration(spec, held_out)
    if model is None and calibration is None:
        return b""
    by_type = sorted(spec.features, key=lambda feature: feature.type != "numeric")
    names = tuple(feature.name for feature in by_type)
    profile = InputProfile(features=names, density=model, agreement=agreement, calibration=calibration)
    return to_bytes(profile)


def _density(spec: Spec, numbers: NDArray[Any], texts: NDArray[Any]) -> density.DensityModel | None:
    rate = spec.defence.density.false_positive_rate
    try:
        return density.fit(numbers, texts=list(texts.T), false_positive_rate=rate)
    except InvalidInput as error:
        if spec.defence.demands_density:
            raise InvalidInput(f"the spec has `defence.density`: {error}") from error
        log.info("the version will have no input score: %s", error)
        return None


def _agreement(
    spec: Spec,
    numbers: NDArray[Any],
    texts: NDArray[Any],
    *,
    density: DensityModel,
    answers: NDArray[Any] | None,
) -> AgreementModel | None:
    if answers is None or not spec.is_classifier:
        return None
    place = {label: code for code, label in enumerate(spec.label.classes)}
    return agreement_fit.fit(
        density,
        numbers,
        texts=list(texts.T),
        codes=np.array([place[str(label)] for label in answers], dtype=np.int64),
        classes=len(place),
        rows=apart(len(numbers), false_positive_rate=spec.defence.density.false_positive_rate),
    )


def _calibration(spec: Spec, held_out: HeldOut | None) -> Calibration | None:
    demanded = spec.defence.demands_calibration
    if held_out is None:
        if demanded:
            raise InvalidInput(
                "the spec has `defence.confidence`, which takes rows with the truth that the model has not "
                "learned from: give them with --held-out"
            )
        return None
    try:
        if spec.is_classifier:
            return calibrate_classes(held_out.answers, np.asarray(held_out.truth, dtype=np.int64))
        return calibrate_numbers(held_out.answers, held_out.truth)
    except InvalidInput as error:
        if demanded:
            raise InvalidInput(f"the spec has `defence.confidence`: {error}") from error
        log.info("the version will have no calibrated confidence: %s", error)
        return None
