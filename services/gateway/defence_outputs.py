"""What the defence found, as the caller is told: parameters of an answer, and outputs for whoever asks."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import orjson

from services.gateway.domain.defending import REVIEW, Defended, Guard
from services.gateway.records import Prediction
from slipway.errors import InvalidInput
from slipway.signature import TensorSpec

INPUT_SCORE: Final = "input_score"
CONFIDENCE: Final = "confidence"
PREDICTION_SET: Final = "prediction_set"
ABSTAINED: Final = "abstained"
OUTPUTS: Final = (CONFIDENCE, PREDICTION_SET, ABSTAINED, INPUT_SCORE)


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


def _floats(values: Any, unknown: Any) -> bytes:
    raw: bytes = (unknown if values is None else values).astype("<f4").tobytes()
    return raw


def _set_text(classes: tuple[str, ...], members: Any) -> str:
    if not classes:
        return orjson.dumps(members.tolist()).decode()
    return orjson.dumps([name for name, is_in in zip(classes, members, strict=True) if is_in]).decode()
