"""A model of six features and two classes that is trained in a moment."""

from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression


def make_onnx(folder: Path) -> Path:
    """Train it and write it as `model.onnx`."""
    rows = np.random.default_rng(0).random((200, 6), dtype=np.float32)
    model = LogisticRegression().fit(rows, rows[:, 0] > 0.5)
    model.classes_ = np.array([0, 1])
    path = folder / "model.onnx"
    path.write_bytes(to_onnx(model, rows[:1], options={"zipmap": False}).SerializeToString())
    return path
