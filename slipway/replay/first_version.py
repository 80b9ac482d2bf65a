"""The baseline: what the first version, never replaced, would have answered to every row."""

from typing import Any

import numpy as np

from slipway.onnx_model import OnnxModel
from slipway.registry import Registry
from slipway.replay.stream import Stream
from slipway.signature import FEATURES, signature_of


def answers_of(stream: Stream, *, version: str, start: int, url: str) -> list[str]:
    """Answers of a registered version to the rows from `start` on. Blocks: call it from a thread."""
    registry = Registry(url)
    found = registry.find(stream.spec.name, version)
    model = OnnxModel(registry.load_onnx(found, digest=found.digest), stream.spec)
    outputs = model.predict(_inputs(stream, start))
    answers = outputs["label" if stream.spec.is_classifier else "value"].reshape(-1)
    return [a.decode() if isinstance(a, bytes) else str(a) for a in answers]


def _inputs(stream: Stream, start: int) -> dict[str, np.ndarray[Any, Any]]:
    table = stream.features.iloc[start:]
    inputs = signature_of(stream.spec).inputs
    if inputs[0].name == FEATURES:
        return {FEATURES: table.to_numpy(dtype=np.float32)}
    return {
        t.name: table[[t.name]].to_numpy(dtype=np.float32)
        if t.datatype == "FP32"
        else _texts(table[[t.name]])
        for t in inputs
    }


def _texts(column: Any) -> np.ndarray[Any, Any]:
    texts = column.fillna("").astype(str).to_numpy(dtype=object)
    return np.array([[v[0].encode()] for v in texts], dtype=object)
