"""What both clients send beside rows: metadata, parameters, feedback. No I/O."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import orjson

from slipway.client.encoding import COLUMNS, MAX_ROWS, ModelInputs
from slipway.client.prediction import Prediction
from slipway.errors import InvalidInput
from slipway.oip.open_inference_pb2 import ModelInferRequest, ModelMetadataResponse
from slipway.signature import TensorSpec
from slipway.v1.feedback_pb2 import FeedbackReceived

PREDICT: Final = "/inference.GRPCInferenceService/ModelInfer"
DESCRIBE: Final = "/inference.GRPCInferenceService/ModelMetadata"
SUBMIT: Final = "/slipway.v1.FeedbackIntake/SubmitFeedback"
DEFAULT_TIMEOUT_S: Final = 10.0
_CONTENT: Final[dict[str, Callable[[Any], Any]]] = {
    "label": str,
    "edited_label": str,
    "accepted": bool,
    "rating": float,
    "business_value": float,
    "retract": bool,
}


def credentials(api_key: str) -> tuple[tuple[str, str], ...]:
    """Call metadata that carries an API key."""
    return (("authorization", f"Bearer {api_key}"),)


def model_inputs(metadata: ModelMetadataResponse) -> ModelInputs:
    """What a model takes, after its metadata."""
    inputs = tuple(TensorSpec(t.name, t.datatype, tuple(t.shape)) for t in metadata.inputs)
    named = metadata.inputs[0].parameters[COLUMNS].string_param if metadata.inputs else ""
    columns = tuple(orjson.loads(named)) if named else ()
    most = metadata.inputs[0].parameters[MAX_ROWS].int64_param if metadata.inputs else 0
    plain = ModelInputs(model=metadata.name, tensors=inputs, columns=columns, max_rows=most)
    return plain if plain.is_matrix else replace(plain, columns=tuple(t.name for t in inputs))


def set_parameters(request: ModelInferRequest, *, unit: str | None, key: str | None) -> None:
    """Say for whom a prediction is (sticky routing) and under which key feedback may name it."""
    if unit:
        request.parameters["slipway_unit"].string_param = unit
    if key:
        request.parameters["slipway_key"].string_param = key


def feedback_message(
    about: Prediction | str,
    content: dict[str, Any],
    *,
    row: int = 0,
    model: str = "",
    source: str = "",
    feedback_id: str = "",
) -> FeedbackReceived:
    """Feedback about a prediction, by itself or its id, or by business key where `model` is given.

    Args:
        about: The prediction, its id, or the business key.
        content: Exactly one of label, edited_label, accepted, rating, business_value, retract.
        row: The row of the request.
        model: Its name, when `about` is a business key.
        source: Which system or person saw it.
        feedback_id: The sender's id.
    Raises:
        InvalidInput: Nothing is said, or more than one thing.
    """
    said = {name: value for name, value in content.items() if value is not None}
    if len(said) != 1 or not set(said) <= set(_CONTENT):
        raise InvalidInput(f"say exactly one of {', '.join(_CONTENT)}; got {', '.join(said) or 'nothing'}")
    message = FeedbackReceived(row=row, model=model, source=source, feedback_id=feedback_id)
    if model:
        message.business_key = str(about)
    elif isinstance(about, Prediction):
        message.prediction_id, message.feedback_token = about.prediction_id, about.feedback_token
    else:
        message.prediction_id = about
    [(name, value)] = said.items()
    setattr(message, name, _CONTENT[name](value))
    return message


def feedback_batches(
    items: Sequence[FeedbackReceived], *, at_most: int = 1000
) -> list[Sequence[FeedbackReceived]]:
    """Items in groups that the gateway takes at once."""
    return [items[at : at + at_most] for at in range(0, len(items), at_most)]
