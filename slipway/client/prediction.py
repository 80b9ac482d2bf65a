"""An answer, and what is needed to say later whether it was right."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from slipway import tensors
from slipway.oip.open_inference_pb2 import ModelInferResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The answer to one request of one or more rows.

    Attributes:
        labels: A class per row; empty for a regression.
        values: A number per row; empty for a classifier.
        probabilities: Per row and class, shape (rows, classes); None for a regression.
        prediction_id: Names this answer in feedback.
        feedback_token: Proves that this answer was served to you, in feedback published straight to Kafka.
    """

    model: str
    version: str
    arm: str
    prediction_id: str
    feedback_token: str
    labels: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    probabilities: NDArray[Any] | None = None

    @property
    def label(self) -> str:
        """The class of the first row."""
        return self.labels[0]

    @property
    def value(self) -> float:
        """The number of the first row."""
        return self.values[0]


def decode_answer(response: ModelInferResponse) -> Prediction:
    """The prediction in an answer.

    Raises:
        InvalidInput: Its tensors contradict themselves.
    """
    outputs = {
        output.name: tensors.from_raw(output.name, output.datatype, output.shape, raw)
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=False)
    }
    said = {name: parameter.string_param for name, parameter in response.parameters.items()}
    return Prediction(
        model=response.model_name,
        version=response.model_version,
        arm=said.get("slipway_arm", ""),
        prediction_id=said.get("slipway_prediction_id", ""),
        feedback_token=said.get("slipway_feedback_token", ""),
        labels=tuple(v.decode() for v in outputs["label"].ravel()) if "label" in outputs else (),
        values=tuple(float(v) for v in outputs["value"].ravel()) if "value" in outputs else (),
        probabilities=outputs.get("probabilities"),
    )
