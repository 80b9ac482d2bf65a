"""The model that everyone serves, the row that everyone is asked, and the answer that everyone must give."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
import pandas as pd
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier

from slipway.oip import open_inference_pb2 as pb

MODEL: Final = "forest"
GUARDED: Final = "forest_guarded"  # the same model, its inputs scored
FEATURES: Final = tuple(f"f{n}" for n in range(30))
TREES: Final = 100
_ROWS: Final = 2000
_SEED: Final = 0
_TOLERANCE: Final = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """Files in one folder."""

    folder: Path

    @property
    def onnx(self) -> Path:
        """The classifier: labels and probabilities."""
        return self.folder / "forest.onnx"

    @property
    def sample(self) -> Path:
        """Rows it was trained on."""
        return self.folder / "sample.parquet"

    @property
    def spec(self) -> Path:
        """The model spec for Slipway."""
        return self.folder / "model.yaml"

    @property
    def guarded_spec(self) -> Path:
        """The spec of the same model that scores its inputs."""
        return self.folder / "guarded.yaml"

    @property
    def guarded_body(self) -> Path:
        """The same row for that one."""
        return self.folder / "guarded.bin"

    @property
    def grpc_body(self) -> Path:
        """One row as a serialized ModelInferRequest."""
        return self.folder / "request.bin"

    @property
    def json_body(self) -> Path:
        """The same row as BentoML takes it."""
        return self.folder / "request.json"

    @property
    def rest_body(self) -> Path:
        """The same row in the Open Inference Protocol's JSON."""
        return self.folder / "request.rest"

    @property
    def binary_body(self) -> Path:
        """The same row in the protocol's binary form: JSON, and the tensor's bytes behind it."""
        return self.folder / "request.binary"

    @property
    def binary_head(self) -> bytes:
        """The JSON that stands before the bytes, and asks for an answer in bytes."""
        tensor = {**_tensor(self.row), "parameters": {"binary_data_size": self.row.nbytes}}
        return json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()

    @property
    def row(self) -> Any:
        """The row."""
        return np.random.default_rng(1).normal(size=(1, len(FEATURES))).astype("<f4")

    def is_right(self, probabilities: Any) -> bool:
        """Whether an answer is the model's own."""
        session = onnxruntime.InferenceSession(str(self.onnx), providers=["CPUExecutionProvider"])
        expected = session.run(None, {session.get_inputs()[0].name: self.row})[1]
        return bool(np.allclose(np.reshape(probabilities, expected.shape), expected, atol=_TOLERANCE))


def make_forest(folder: Path) -> Forest:
    """Train it once; later runs find it."""
    forest = Forest(folder=folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not forest.onnx.is_file():
        _train(forest)
    forest.spec.write_text(_spec(MODEL, score="none"))
    forest.guarded_spec.write_text(_spec(GUARDED, score="flag"))
    for name, body in ((MODEL, forest.grpc_body), (GUARDED, forest.guarded_body)):
        request = pb.ModelInferRequest(model_name=name, raw_input_contents=[forest.row.tobytes()])
        request.inputs.add(name="features", datatype="FP32", shape=forest.row.shape)
        body.write_bytes(request.SerializeToString())
    forest.json_body.write_text(json.dumps({"features": forest.row.tolist()}))
    data = [float(value) for value in forest.row.ravel()]
    forest.rest_body.write_text(json.dumps({"inputs": [{**_tensor(forest.row), "data": data}]}))
    forest.binary_body.write_bytes(forest.binary_head + forest.row.tobytes())
    return forest


def _tensor(row: Any) -> dict[str, Any]:
    return {"name": "features", "datatype": "FP32", "shape": list(row.shape)}


def _train(forest: Forest) -> None:
    rng = np.random.default_rng(_SEED)
    x = rng.normal(size=(_ROWS, len(FEATURES))).astype(np.float32)
    y = (x[:, 0] + x[:, 1] * x[:, 2] > 0).astype(int)
    fitted = RandomForestClassifier(TREES, max_depth=8, random_state=_SEED).fit(x, y)
    pd.DataFrame(x, columns=list(FEATURES)).assign(y=y).to_parquet(forest.sample)
    onnx = to_onnx(fitted, x[:1], options={"zipmap": False}).SerializeToString()
    forest.onnx.write_bytes(onnx)  # last: it says that all is there


def _spec(name: str, *, score: str) -> str:
    features = "".join(f"  - {{name: {name}, range: [-6, 6]}}\n" for name in FEATURES)
    return (
        f"name: {name}\ntask: binary\nfeatures:\n{features}"
        'label: {name: y, classes: ["0", "1"]}\nserving: {timeout_ms: 10000}\n'
        f"retraining: {{automatic: false}}\ndefence: {{density: {{action: {score}}}}}\n"
    )
