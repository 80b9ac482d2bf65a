"""Models as Slipway serves them, ONNX made from scikit-learn; one of them with gradients written out."""

import warnings
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnxruntime
from defence_data import Data, Labels, Rows
from numpy.typing import NDArray
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

Probabilities = NDArray[np.float64]
KINDS: Final = ("mlp", "forest")
_SEED: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A model behind its ONNX; rows are in the units of the data."""

    kind: str
    session: Any
    network: MLPClassifier | None  # where gradients can be had
    low: Rows
    high: Rows

    def probabilities(self, rows: Rows) -> Probabilities:
        """As an answer brings them."""
        fed = np.ascontiguousarray(rows, dtype=np.float32)
        return np.asarray(self.session.run(["probabilities"], {"X": fed})[0], dtype=np.float64)

    def predict(self, rows: Rows) -> Labels:
        """The class of each row."""
        return np.asarray(self.probabilities(rows).argmax(axis=1))

    def to_unit(self, rows: Rows) -> Rows:
        """Features between 0 and 1 where the training data lies: where attackers walk."""
        return np.asarray((rows - self.low) / (self.high - self.low))

    def from_unit(self, unit: Any) -> Rows:
        """Back to the units of the data."""
        return np.asarray(self.low + np.asarray(unit, dtype=np.float64) * (self.high - self.low))

    def loss_gradient(self, unit: Rows, labels: Labels) -> Rows:
        """Gradient of the cross-entropy towards `labels`, by features between 0 and 1.

        Source: Rumelhart, Hinton, Williams: Learning representations by back-propagating errors, Nature 1986.
        """
        if self.network is None:
            raise TypeError(f"a {self.kind} has no gradient")
        signals = [np.asarray(unit, dtype=np.float64)]
        for weights, bias in zip(self.network.coefs_, self.network.intercepts_, strict=True):
            signals.append(np.maximum(signals[-1] @ weights + bias, 0.0))
        last = signals[-2] @ self.network.coefs_[-1] + self.network.intercepts_[-1]
        flowing = _output_error(last, labels)
        for at in range(len(self.network.coefs_) - 1, -1, -1):
            flowing = flowing @ self.network.coefs_[at].T
            if at:
                flowing = flowing * (signals[at] > 0)
        return np.asarray(flowing)


def _output_error(logits: Rows, labels: Labels) -> Rows:
    if logits.shape[1] == 1:  # two classes have one logistic output
        return np.asarray(1 / (1 + np.exp(-logits)) - labels[:, None])
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    shares[np.arange(len(labels)), labels] -= 1
    return np.asarray(shares)


def fit(data: Data, kind: str) -> Served:
    """A model of the training rows."""
    estimator: Any
    if kind == "mlp":
        estimator = MLPClassifier((64,), alpha=1e-3, max_iter=600, random_state=_SEED)
    else:
        estimator = RandomForestClassifier(100, min_samples_leaf=2, n_jobs=1, random_state=_SEED)
    scaler = MinMaxScaler().fit(np.vstack([data.low, data.high]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # good enough to be attacked
        estimator.fit(scaler.transform(data.train), data.train_labels)
    pipeline = make_pipeline(scaler, estimator)
    proto = to_onnx(
        pipeline, data.train[:1].astype(np.float32), options={id(pipeline): {"zipmap": False}}
    ).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return Served(
        kind=kind,
        session=onnxruntime.InferenceSession(proto, options, providers=["CPUExecutionProvider"]),
        network=estimator if kind == "mlp" else None,
        low=data.low,
        high=data.high,
    )
