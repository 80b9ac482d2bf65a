"""What runs inside a Ray task: the only place where a recipe's source is executed.

A step takes plain values and gives plain values, so that it can run on any machine of the cluster.
What a recipe raises travels back as Ray's task error and becomes the reason of the decision.
"""

import linecache
import os
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from services.retraining.onnx_export import as_fitted, compare, to_onnx
from services.retraining.step_values import FittedModel, Recipe, StepAnswers, TrainingData
from slipway import spec as model_spec
from slipway.errors import InvalidInput
from slipway.input_profile_fit import HeldOut, fit_input_profile
from slipway.onnx_model import OnnxModel
from slipway.signature import FEATURES, signature_of
from slipway.spec import Spec
from slipway.stats.profile import FeatureProfile, categorical_profile, numeric_profile
from slipway.tensors import Array

_RECIPE_FILE: Final = "recipe.py"
_PARITY_ROWS: Final = 2000
_SUM_TOLERANCE: Final = 1e-3


def warm_up() -> int:
    """Do nothing, in a worker that has loaded this module: the imports take seconds, the fits do not."""
    return os.getpid()


def fit_and_answer(
    data: TrainingData, recipe: Recipe, *, window: tuple[int, int], holdout: tuple[int, int]
) -> StepAnswers:
    """Fit on a window and answer the hold-out."""
    spec = model_spec.parse(recipe.spec_yaml)
    estimator = _fit(data, recipe, spec=spec, window=window)
    frame = _frame(data, spec, rows=slice(*holdout))
    return _answers(estimator, frame, spec=spec)


def answer_with_champion(
    data: TrainingData, spec_yaml: str, *, onnx: bytes, holdout: tuple[int, int]
) -> StepAnswers:
    """The serving version's answers to the hold-out.

    Raises:
        InvalidInput: The model cannot be loaded or run.
    """
    spec = model_spec.parse(spec_yaml)
    answers = OnnxModel(onnx, spec).predict(_inputs(data, spec, rows=slice(*holdout)))
    place = {name: i for i, name in enumerate(spec.label.classes)}
    return StepAnswers(
        predicted=np.array([place[label] for label in answers["label"]], dtype=np.int64),
        probabilities=np.asarray(answers["probabilities"], dtype=np.float64),
    )


def refit_and_export(
    data: TrainingData, recipe: Recipe, *, window: tuple[int, int], held_out: HeldOut | None = None
) -> FittedModel:
    """Fit the winner on all its rows and make the ONNX model that will serve.

    Args:
        data: All rows.
        recipe: How to fit.
        window: On which rows.
        held_out: Answers of the same recipe, fitted without them, to the rows of the hold-out.
    Raises:
        InvalidInput: The ONNX model does not repeat the estimator, or the spec demands a profile that
            these rows cannot give.
    """
    spec = model_spec.parse(recipe.spec_yaml)
    estimator = _fit(data, recipe, spec=spec, window=window)
    onnx = to_onnx(estimator, spec)
    model = OnnxModel(onnx, spec)
    sample = _spread(len(data.codes))
    frame, inputs = _frame(data, spec, rows=sample), _inputs(data, spec, rows=sample)
    parity = compare(estimator, model, frame=frame, inputs=inputs, spec=spec)
    rows = slice(*window)
    labels = model.predict(_inputs(data, spec, rows=rows))["label"]
    return FittedModel(
        onnx=onnx,
        parity=parity,
        profiles=_profiles(_frame(data, spec, rows=rows), spec),
        predicted_counts=tuple(int(np.sum(labels == name)) for name in spec.label.classes),
        input_profile=fit_input_profile(
            *(spec, data.numbers[rows], data.texts[rows]), held_out=held_out, answers=labels
        ),
    )


def _fit(data: TrainingData, recipe: Recipe, *, spec: Spec, window: tuple[int, int]) -> Any:
    rows = slice(*window)
    frame = _frame(data, spec, rows=rows)
    labels = pd.Series(data.codes[rows].copy(), name=spec.label.name)
    weights = np.ones(len(labels))
    return _load_fit(recipe.source)(frame, labels, weights, recipe.seed)


def _load_fit(source: str) -> Callable[..., Any]:
    # Known to linecache, so that the lines of the recipe stand in its tracebacks.
    linecache.cache[_RECIPE_FILE] = (len(source), None, source.splitlines(keepends=True), _RECIPE_FILE)
    namespace: dict[str, Any] = {"__name__": "recipe", "__file__": _RECIPE_FILE}
    exec(compile(source, _RECIPE_FILE, "exec"), namespace)  # noqa: S102 - a recipe is the owner's code
    fit = namespace.get("fit")
    if not callable(fit):
        raise InvalidInput("the recipe defines no function fit(X, y, sample_weight, seed)")
    return fit  # type: ignore[no-any-return]


def _answers(estimator: Any, frame: pd.DataFrame, *, spec: Spec) -> StepAnswers:
    classes = len(spec.label.classes)
    for method in ("predict", "predict_proba"):
        if not hasattr(estimator, method):
            raise InvalidInput(f"fit returned a {type(estimator).__name__}, which has no {method}")
    known = [int(c) for c in getattr(estimator, "classes_", range(classes))]
    if known != list(range(classes)):
        raise InvalidInput(f"the estimator knows the class codes {known}, wanted are 0..{classes - 1}")
    rows = as_fitted(estimator, frame)
    probabilities = np.asarray(estimator.predict_proba(rows), dtype=np.float64)
    if probabilities.shape != (len(frame), classes):
        raise InvalidInput(
            f"predict_proba gives shape {probabilities.shape}, wanted is {(len(frame), classes)}"
        )
    sums = probabilities.sum(axis=1)
    if not np.isfinite(probabilities).all() or np.abs(sums - 1).max(initial=0) > _SUM_TOLERANCE:
        raise InvalidInput("predict_proba gives numbers that are not probabilities")
    return StepAnswers(
        predicted=np.asarray(estimator.predict(rows), dtype=np.int64), probabilities=probabilities
    )


def _frame(data: TrainingData, spec: Spec, *, rows: slice | NDArray[np.int64]) -> pd.DataFrame:
    """The rows as recipes see them: float32 as served, categories as text, "" where missing."""
    numbers, texts = iter(data.numbers[rows].T.copy()), iter(data.texts[rows].T.copy())
    columns = {f.name: next(numbers if f.type == "numeric" else texts) for f in spec.features}
    return pd.DataFrame({name: pd.Series(values, dtype=values.dtype) for name, values in columns.items()})


def _inputs(data: TrainingData, spec: Spec, *, rows: slice | NDArray[np.int64]) -> dict[str, Array]:
    """The rows as the signature's tensors."""
    if signature_of(spec).inputs[0].name == FEATURES:
        return {FEATURES: data.numbers[rows]}
    frame = _frame(data, spec, rows=rows)
    return {name: frame[name].to_numpy().reshape(-1, 1) for name in spec.feature_names}


def _profiles(frame: pd.DataFrame, spec: Spec) -> tuple[FeatureProfile, ...]:
    make: Mapping[str, Callable[..., FeatureProfile]] = {
        "numeric": numeric_profile,
        "categorical": categorical_profile,
    }
    return tuple(make[f.type](f.name, frame[f.name].to_numpy()) for f in spec.features)


def _spread(rows: int) -> NDArray[np.int64]:
    """Row numbers from all over the data: parity must hold where the model is served, not only at one end."""
    return np.unique(np.linspace(0, rows - 1, min(rows, _PARITY_ROWS)).astype(np.int64))
