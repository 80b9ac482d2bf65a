"""A small stream with one forced drift: at `flip` the meaning of the first feature turns round."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

SPEC = """
name: {name}
task: binary
features:
  - {{name: signal, range: [0, 1]}}
  - {{name: noise, range: [0, 1]}}
label:
  name: truth
  classes: ["0", "1"]
  horizon_rows: 20
recipe: recipe.py
rollout:
  steps:
    - {{weight_percent: 5, min_rows: 40}}
    - {{weight_percent: 25, min_rows: 40}}
  bake_rows: 40
drift:
  block_rows: 20
  window_rows: 200
retraining:
  windows: [since_drift, "sliding:200"]
  holdout_rows: 60
  margin: 0.1
  min_rows: 60
  min_rows_per_class: 10
  cool_down_rows: 60
  max_cool_down_rows: 60
  max_staleness_rows: 5000
"""

RECIPE = '''"""A shallow boosted tree."""

from sklearn.ensemble import HistGradientBoostingClassifier


def fit(X, y, sample_weight, seed):
    """Fit one estimator."""
    model = HistGradientBoostingClassifier(max_iter=30, random_state=seed)
    return model.fit(X, y, sample_weight=sample_weight)
'''


def write_stream(folder: Path, *, name: str, rows: int, flip: int) -> tuple[Path, Path]:
    """Write the table and its spec; returns both paths."""
    rng = np.random.default_rng(7)
    signal, noise = rng.random(rows), rng.random(rows)
    rises = (signal > 0.5) ^ (np.arange(rows) >= flip)
    wrong = rng.random(rows) < 0.05
    table = pd.DataFrame({"signal": signal, "noise": noise, "truth": (rises ^ wrong).astype(int)})
    table.to_parquet(folder / "stream.parquet")
    (folder / "recipe.py").write_text(RECIPE)
    spec = folder / "model.yaml"
    spec.write_text(SPEC.format(name=name))
    return folder / "stream.parquet", spec


def replay_command(table: Path, spec: Path) -> list[str]:
    """`slipway replay` as a user types it."""
    slipway = Path(sys.executable).parent / "slipway"
    options = {"--target": "truth", "--spec": str(spec), "--warmup": "600", "--delay": "20"}
    return [str(slipway), "replay", str(table), *(word for option in options.items() for word in option)]
