"""A BentoML service, as its documentation shows one: an array in, a dictionary out, over HTTP."""

import os
from typing import Any

import bentoml
import numpy as np
import onnxruntime


@bentoml.service(workers=1, metrics={"enabled": False}, logging={"access": {"enabled": False}})
class Forest:
    """One model, one method."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        path = os.environ["COMPARE_MODEL"]
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    @bentoml.api  # type: ignore[untyped-decorator]
    async def infer(self, features: np.ndarray) -> dict[str, Any]:
        """Rows to labels and probabilities."""
        rows = np.asarray(features, dtype=np.float32)
        labels, probabilities = self._session.run(None, {self._input: rows})
        return {"label": [str(label) for label in labels], "probabilities": probabilities.tolist()}
