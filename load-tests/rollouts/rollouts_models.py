"""Three small versions of one model: two that are well, and one that answers NaN where it is asked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import pandas as pd
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

from slipway.oip import open_inference_pb2 as oip

MODEL: Final = "turns"
FEATURES: Final = tuple("abcdef")
_ROWS: Final = 400
_EDGE: Final = 0.99  # above it the broken version knows no answer; its sample lies below
_VERSIONS: Final = {"first": 0, "second": 1, "broken": 2}
SPEC: Final = """name: {name}
task: binary
features: [{features}]
label: {{name: y, classes: ["0", "1"]}}
serving: {{timeout_ms: 10000, fallback: [previous_version]}}
retraining: {{automatic: false}}
rollout: {{steps: [{steps}], bake_rows: {bake_rows}, max_latency_ms: 60000}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Files in one folder."""

    folder: Path

    @property
    def sample(self) -> Path:
        """Rows to register with."""
        return self.folder / "sample.parquet"

    @property
    def spec(self) -> Path:
        """The spec that is applied next."""
        return self.folder / "model.yaml"

    def onnx(self, name: str) -> Path:
        """One version."""
        return self.folder / f"{name}.onnx"


def make_files(folder: Path) -> Files:
    """Train all of them."""
    files = Files(folder=folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, seed in _VERSIONS.items():
        rng = np.random.default_rng(seed)
        rows = rng.uniform(0, 0.9, size=(_ROWS, len(FEATURES))).astype(np.float32)
        truth = (rows[:, 0] > 0.45).astype(int)
        fitted = LogisticRegression().fit(rows, truth)
        made = to_onnx(fitted, rows[:1], options={"zipmap": False})
        files.onnx(name).write_bytes((_broken(made) if name == "broken" else made).SerializeToString())
        pd.DataFrame(rows, columns=list(FEATURES)).assign(y=truth).to_parquet(files.sample)
    return files


def spec_text(*, steps: str, bake_rows: int) -> str:
    """A spec whose rollouts go this way."""
    features = ", ".join(f"{{name: {name}, range: [0, 1]}}" for name in FEATURES)
    return SPEC.format(name=MODEL, features=features, steps=steps, bake_rows=bake_rows)


def request_bytes() -> bytes:
    """One row that the broken version cannot answer; without a unit, so that each request draws its arm."""
    row = np.full((1, len(FEATURES)), 1.0, dtype="<f4")
    message = oip.ModelInferRequest(model_name=MODEL, raw_input_contents=[row.tobytes()])
    message.inputs.add(name="features", datatype="FP32", shape=row.shape)
    return message.SerializeToString()


def _broken(model: onnx.ModelProto) -> onnx.ModelProto:
    """x + 0 * sqrt(edge - x) in front of it: NaN above the edge, x below."""
    graph, given = model.graph, model.graph.input[0].name
    for node in graph.node:
        node.input[:] = ["checked" if name == given else name for name in node.input]
    graph.initializer.extend(
        numpy_helper.from_array(np.array(value, dtype=np.float32), name)
        for name, value in (("edge", _EDGE), ("nothing", 0.0))
    )
    front = [
        helper.make_node("Sub", ["edge", given], ["below"]),
        helper.make_node("Sqrt", ["below"], ["root"]),
        helper.make_node("Mul", ["root", "nothing"], ["zero"]),
        helper.make_node("Add", [given, "zero"], ["checked"]),
    ]
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*front, *rest])
    assert graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    return model
