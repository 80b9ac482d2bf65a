"""An answer, and what is needed to say later whether it was right."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


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
