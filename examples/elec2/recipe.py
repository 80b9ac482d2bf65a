"""How the Elec2 model is trained: a boosted tree that weighs recent weeks higher."""

from typing import Any

import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier


def fit(X: pd.DataFrame, y: pd.Series, sample_weight: Any, seed: int) -> HistGradientBoostingClassifier:  # noqa: N803
    """Fit one estimator on rows in time order."""
    model = HistGradientBoostingClassifier(max_iter=100, random_state=seed)
    return model.fit(X, y, sample_weight=sample_weight)
