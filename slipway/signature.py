"""The tensors a model takes and gives, derived from its spec; all arms of a model share them."""

from dataclasses import dataclass

from slipway.spec import Spec

FEATURES = "features"


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, datatype and shape; -1 stands for the number of rows."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """What goes in and what comes out."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def signature_of(spec: Spec) -> Signature:
    """One FP32 `features` [n, F] where all features are numeric, else one tensor [n, 1] per feature.

    Classifiers answer `label` [n] (BYTES) and `probabilities` [n, C] (FP32); regressors `value` [n] (FP32).
    """
    if spec.is_classifier:
        outputs: tuple[TensorSpec, ...] = (
            TensorSpec("label", "BYTES", (-1,)),
            TensorSpec("probabilities", "FP32", (-1, len(spec.label.classes))),
        )
    else:
        outputs = (TensorSpec("value", "FP32", (-1,)),)
    return Signature(_inputs(spec), outputs)


def _inputs(spec: Spec) -> tuple[TensorSpec, ...]:
    if all(f.type == "numeric" for f in spec.features):
        return (TensorSpec(FEATURES, "FP32", (-1, len(spec.features))),)
    datatypes = {"numeric": "FP32", "categorical": "BYTES"}
    return tuple(TensorSpec(f.name, datatypes[f.type], (-1, 1)) for f in spec.features)
