"""From a scikit-learn notebook into service: what `slipway apply` and `slipway register` need.

uv run python examples/notebook/bring_your_model.py
slipway apply -f examples/notebook/out/model.yaml
slipway register cancer examples/notebook/out/model.onnx --sample examples/notebook/out/sample.parquet
"""

from pathlib import Path

import numpy as np
from ruamel.yaml import YAML
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

OUT = Path(__file__).parent / "out"


def main() -> None:
    OUT.mkdir(exist_ok=True)
    data = load_breast_cancer(as_frame=True)
    X, y = data.data.astype(np.float32), data.target_names[data.target]  # noqa: N806
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(X.to_numpy(), y)

    # "zipmap": False makes the probabilities one matrix instead of a list of dictionaries
    onnx = to_onnx(model, X.to_numpy()[:1], options={"zipmap": False})
    (OUT / "model.onnx").write_bytes(onnx.SerializeToString())
    X.assign(diagnosis=y).to_parquet(OUT / "sample.parquet")
    spec = {
        "name": "cancer",
        "task": "binary",
        "description": "Is a breast tumour malignant, by the shapes of its cell nuclei?",
        "features": [{"name": name} for name in X.columns],
        "label": {"name": "diagnosis", "classes": sorted(set(y.tolist()))},
    }
    with (OUT / "model.yaml").open("w") as file:
        YAML().dump(spec, file)


if __name__ == "__main__":
    main()
