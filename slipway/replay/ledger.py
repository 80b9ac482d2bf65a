"""What the replay knows of each row, and what it may tell at which moment. Pure."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

UNKNOWN: Final = ""


@dataclass(slots=True, kw_only=True)
class Ledger:
    """Outcome of every replayed row; index 0 is the first row after the warm-up."""

    truth: list[str]
    frozen: list[str]  # answers of the first version on the same rows
    warmup_truth: list[str]  # labels before the first replayed row
    delay: int
    predicted: list[str] = field(init=False)
    version: list[str] = field(init=False)
    prediction_id: list[str] = field(init=False)
    latency_s: list[float] = field(init=False)
    failures: list[str] = field(default_factory=list)
    released: int = 0  # labels of rows below this have been published
    sent: int = 0  # rows below this have been answered or have failed

    def __post_init__(self) -> None:
        rows = len(self.truth)
        self.predicted, self.version, self.prediction_id = ([UNKNOWN] * rows for _ in range(3))
        self.latency_s = []

    def answered(self, row: int, *, label: str, version: str, prediction_id: str, latency_s: float) -> None:
        """Note the answer of one row."""
        self.predicted[row], self.version[row], self.prediction_id[row] = label, version, prediction_id
        self.latency_s.append(latency_s)

    def failed(self, row: int, reason: str) -> None:
        """Note that one row got no answer."""
        self.failures.append(f"row {row}: {reason}")

    def release(self) -> list[int]:
        """The rows whose label may be published now: `delay` rows have been served since.

        The label of row j leaves this process only after row j + delay was sent, never earlier.
        """
        upto = max(self.released, self.sent - self.delay)
        rows = list(range(self.released, upto))
        self.released = upto
        return rows

    def release_rest(self) -> list[int]:
        """After the last row: all labels that are still held back."""
        rows = list(range(self.released, self.sent))
        self.released = self.sent
        return rows

    def hits(self, answers: list[str]) -> NDArray[np.bool_]:
        """Which of the sent rows `answers` got right, shape (sent,)."""
        return np.array([a == t for a, t in zip(answers[: self.sent], self.truth, strict=False)], dtype=bool)

    def last_label(self) -> list[str]:
        """The newest label known when each row was served: that of `delay` rows before."""
        known = self.warmup_truth + self.truth
        offset = len(self.warmup_truth) - self.delay
        return [known[offset + i] if offset + i >= 0 else UNKNOWN for i in range(len(self.truth))]


def rolling_share(hits: NDArray[np.bool_], *, window: int) -> NDArray[np.float64]:
    """Share of hits over the last `window` rows at each row, fewer at the start; shape (rows,)."""
    total = np.concatenate([[0], np.cumsum(hits)])
    at = np.arange(1, len(hits) + 1)
    since = np.maximum(at - window, 0)
    return np.asarray((total[at] - total[since]) / (at - since), dtype=np.float64)
