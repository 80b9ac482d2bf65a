"""Accepted formats to ONNX. Runs in the sandbox's child alone: it reads files that nobody vouches for."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import skops.io
from onnx import ModelProto
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from skops.io.exceptions import UntrustedTypesFoundException

from slipway import spec as model_spec
from slipway.errors import InvalidInput
from slipway.models.formats import ModelFormat
from slipway.models.onnx_check import check_onnx
from slipway.onnx_model import OnnxModel
from slipway.signature import FEATURES
from slipway.spec import Spec

MODEL: Final = "model"
MADE: Final = "model.onnx"
TARGET_OPSET: Final = {"": 17, "ai.onnx.ml": 3}  # as in retraining: newer ones would shut out older servers


def convert(folder: Path, arguments: dict[str, Any]) -> dict[str, Any]:
    """Write `model.onnx` from `model`, and answer one row with it.

    Raises:
        InvalidInput: What the file holds that cannot be served, and what to do instead.
    """
    spec = model_spec.parse(arguments["spec_yaml"])
    made = _CONVERTERS[ModelFormat(arguments["format"])](folder, spec)
    onnx = bytes(made.SerializeToString())
    check_onnx(onnx)
    model = OnnxModel(onnx, spec)
    model.check(model.probe())
    (folder / MADE).write_bytes(onnx)
    return {"converted_from": arguments["format"]}


def _from_skops(folder: Path, spec: Spec) -> ModelProto:
    content = (folder / MODEL).read_bytes()
    untrusted = skops.io.get_untrusted_types(data=content)
    if untrusted:
        raise InvalidInput(_untrusted(untrusted))
    try:
        estimator = skops.io.loads(content, trusted=[])
    except UntrustedTypesFoundException as error:
        raise InvalidInput(_untrusted([str(error)])) from error
    if not type(estimator).__module__.startswith("sklearn."):
        raise InvalidInput(f"the skops file holds a {type(estimator).__name__}, not a scikit-learn estimator")
    options = {id(estimator): {"zipmap": False}} if spec.is_classifier else None
    converted: ModelProto = convert_sklearn(
        estimator,
        name=spec.name,
        initial_types=_inputs(estimator, spec),
        target_opset=TARGET_OPSET,
        options=options,
    )
    return converted


def _untrusted(types: Sequence[str]) -> str:
    return (
        f"the skops file holds types that are not on the list: {', '.join(types[:5])}; "
        "convert the model where you trained it (skl2onnx) and register the ONNX"
    )


def _inputs(estimator: Any, spec: Spec) -> list[tuple[str, Any]]:
    """One tensor, or one per feature where the estimator was fitted on a table with texts or names them."""
    if all(f.type == "numeric" for f in spec.features):
        width = getattr(estimator, "n_features_in_", len(spec.features))
        return [(FEATURES, FloatTensorType([None, width]))]
    kinds = {"numeric": FloatTensorType, "categorical": StringTensorType}
    return [(f.name, kinds[f.type]([None, 1])) for f in spec.features]


def _from_xgboost(folder: Path, spec: Spec) -> ModelProto:
    xgboost, converter = _library("xgboost"), _library("onnxmltools.convert")
    kind = xgboost.XGBClassifier if spec.is_classifier else xgboost.XGBRegressor
    booster = kind()
    suffix = "json" if (folder / MODEL).read_bytes()[1:2] not in b"LlUiI" else "ubj"
    named = folder / f"booster.{suffix}"
    (folder / MODEL).rename(named)
    booster.load_model(named)
    converted: ModelProto = converter.convert_xgboost(booster, initial_types=_booster_inputs(spec))
    return converted


def _from_lightgbm(folder: Path, spec: Spec) -> ModelProto:
    lightgbm, converter = _library("lightgbm"), _library("onnxmltools.convert")
    booster = lightgbm.Booster(model_str=(folder / MODEL).read_text())
    converted: ModelProto = converter.convert_lightgbm(
        booster, initial_types=_booster_inputs(spec), zipmap=False
    )
    return converted


def _booster_inputs(spec: Spec) -> list[tuple[str, Any]]:
    texts = [f.name for f in spec.features if f.type != "numeric"]
    if texts:
        raise InvalidInput(f"boosters take numbers alone, but feature {texts[0]} is categorical")
    tensor_type = _library("onnxmltools.convert.common.data_types").FloatTensorType
    return [(FEATURES, tensor_type([None, len(spec.features)]))]


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = name.partition(".")[0]
        raise InvalidInput(
            f"this booster needs {package}, which is not installed here: "
            f"`uv pip install {package} onnxmltools`, or register the ONNX that you convert yourself"
        ) from error


_CONVERTERS: Final = {
    ModelFormat.SKOPS: _from_skops,
    ModelFormat.XGBOOST: _from_xgboost,
    ModelFormat.LIGHTGBM: _from_lightgbm,
}
