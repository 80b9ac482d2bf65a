"""The defence of one request: its input before a version is asked, its answer afterwards."""

import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np
import orjson

from services.gateway import metrics
from services.gateway.catalog import Model
from services.gateway.domain import elements
from services.gateway.domain.batching import Columns
from services.gateway.domain.defending import (
    NOTHING,
    REVIEW,
    UNSCORED,
    Defended,
    Guard,
    judge_agreement,
    judge_answer,
    judge_input,
)
from services.gateway.records import Prediction
from slipway.errors import InvalidInput, Unavailable
from slipway.signature import TensorSpec

log = logging.getLogger(__name__)

INPUT_SCORE: Final = "input_score"
CONFIDENCE: Final = "confidence"
PREDICTION_SET: Final = "prediction_set"
ABSTAINED: Final = "abstained"
OUTPUTS: Final = (CONFIDENCE, PREDICTION_SET, ABSTAINED, INPUT_SCORE)
# What a broken profile may lead to in numpy; anything else is an error of ours, and not passed over.
_FAULTS: Final = (ArithmeticError, LookupError, TypeError, ValueError)


def check_wanted(guard: Guard, version: str, wanted: tuple[str, ...]) -> None:
    """Refuse outputs that the version cannot give.

    Raises:
        InvalidInput: Names the one, and why.
    """
    for name in OUTPUTS:
        if name not in wanted:
            continue
        lacks = guard.density is None if name == INPUT_SCORE else guard.sureness is None
        if lacks and name != ABSTAINED:
            what = "input profile" if name == INPUT_SCORE else "calibration"
            raise InvalidInput(f"output {name!r} does not exist: version {version} has no {what}")
        if name == CONFIDENCE and not guard.classes:
            raise InvalidInput(f"output {name!r} does not exist for a regressor; ask for {PREDICTION_SET!r}")


def defend_input(guard: Guard, prediction: Prediction) -> None:
    """Score the input of a request and do what the spec says.

    Raises:
        InvalidInput: It is suspicious, and the spec refuses such inputs.
        Unavailable: It cannot be scored, and the spec says `on_error: closed`.
    """
    if guard.is_idle:
        return
    checked = prediction.checked
    try:
        prediction.defended = judge_input(guard, checked)
    except _FAULTS as error:
        prediction.defended = Defended(abstained=bytearray(checked.rows))
        _failed(guard, prediction, f"{error!r}")
    else:
        if guard.fault:
            _failed(guard, prediction, guard.fault)
        if prediction.defended.scores is not None:
            _scores(prediction.contract.model, prediction.arm.version).observe(
                float(prediction.defended.scores.max())
            )


def defend_answer(model: Model, prediction: Prediction, columns: Columns) -> None:
    """Add how sure the version that answered is; a stand-in that is no version is not sure of anything.

    Raises:
        Unavailable: It cannot be told, and the spec says `on_error: closed`.
    """
    guard = model.guards.get(prediction.arm.version)
    found = prediction.defended
    if guard is None or found is None:
        return
    try:
        _judge_answer(guard, found, prediction, columns)
    except _FAULTS as error:
        _failed(guard, prediction, f"{error!r}")
    if found.action != NOTHING:
        _actions(prediction.contract.model, prediction.arm.version, found.action).inc()


def parameters_of(prediction: Prediction) -> dict[str, str | int | float | bool]:
    """What the answer carries: of one row everything, of several what the application must not miss."""
    found = prediction.defended
    if found is None:
        return {}
    told: dict[str, str | int | float | bool] = {}
    if REVIEW in found.flags:
        told["slipway_review"] = 1
    if prediction.checked.rows > 1:
        return told
    told[ABSTAINED] = bool(found.abstained[0])
    if found.scores is not None:
        told[INPUT_SCORE] = float(found.scores[0])
    if found.confidences is not None:
        told[CONFIDENCE] = float(found.confidences[0])
    if found.members is not None:
        told[PREDICTION_SET] = _set_text(prediction.contract.classes, found.members[0])
    return told


def columns_of(prediction: Prediction) -> Mapping[str, tuple[TensorSpec, bytes]]:
    """The outputs of OUTPUTS, for whoever asks for them; what is not known is NaN, its set empty."""
    rows, classes = prediction.checked.rows, prediction.contract.classes
    found = prediction.defended or Defended(abstained=bytearray(b"\1" * rows))
    width = len(classes) or 2
    kind, dtype = ("BOOL", np.bool_) if classes else ("FP32", np.float32)
    unknown = np.full(rows, np.nan, dtype="<f4")
    members = np.zeros((rows, width)) if classes else np.full((rows, width), np.nan)
    return {
        CONFIDENCE: (TensorSpec(CONFIDENCE, "FP32", (-1,)), _floats(found.confidences, unknown)),
        INPUT_SCORE: (TensorSpec(INPUT_SCORE, "FP32", (-1,)), _floats(found.scores, unknown)),
        ABSTAINED: (TensorSpec(ABSTAINED, "BOOL", (-1,)), bytes(found.abstained)),
        PREDICTION_SET: (
            TensorSpec(PREDICTION_SET, kind, (-1, width)),
            (members if found.members is None else found.members).astype(dtype).tobytes(),
        ),
    }


def _judge_answer(guard: Guard, found: Defended, prediction: Prediction, columns: Columns) -> None:
    if guard.sureness is None and guard.agreement is None:
        return
    rows, width = prediction.checked.rows, len(guard.classes)
    if not width:
        values = np.frombuffer(columns[0], dtype="<f4")
        judge_answer(guard, found, labels=(), numbers=values, prediction_id=prediction.prediction_id)
        return
    labels = [label.decode() for label in elements.split_all(columns[0])]
    judge_agreement(guard, found, prediction.checked, labels=labels)
    judge_answer(
        guard,
        found,
        labels=labels,
        numbers=np.frombuffer(columns[1], dtype="<f4").reshape(rows, width),
        prediction_id=prediction.prediction_id,
    )


def _failed(guard: Guard, prediction: Prediction, why: str) -> None:
    """What the spec wants to be known cannot be told.

    Raises:
        Unavailable: The spec says `on_error: closed`.
    """
    model, version = prediction.contract.model, prediction.arm.version
    _failures(model, version).inc()
    if guard.defence.on_error == "closed":
        raise Unavailable(
            f"version {version} of {model!r} cannot be defended as its spec demands: {why}; "
            "register it with an input profile, or set `defence.on_error: open`"
        )
    log.debug("answered without defence", extra={"model": model, "version": version, "why": why})
    found = prediction.defended
    if found is not None and UNSCORED not in found.flags:
        found.flags = (*found.flags, UNSCORED)


def _floats(values: Any, unknown: Any) -> bytes:
    raw: bytes = (unknown if values is None else values).astype("<f4").tobytes()
    return raw


def _set_text(classes: tuple[str, ...], members: Any) -> str:
    if not classes:
        return orjson.dumps(members.tolist()).decode()
    return orjson.dumps([name for name, is_in in zip(classes, members, strict=True) if is_in]).decode()


@lru_cache(4096)
def _scores(model: str, version: str) -> Any:
    return metrics.INPUT_SCORE.labels(model, version)


@lru_cache(4096)
def _actions(model: str, version: str, action: str) -> Any:
    return metrics.DEFENCE_ACTIONS.labels(model, version, action)


@lru_cache(4096)
def _failures(model: str, version: str) -> Any:
    return metrics.DEFENCE_FAILURES.labels(model, version)
