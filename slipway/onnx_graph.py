"""Which inputs and outputs of an ONNX graph mean what, under a model spec."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from slipway.errors import InvalidInput
from slipway.spec import Spec

NUMBERS: Final = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
}
TEXT: Final = "tensor(string)"
_LABELS: Final = ("tensor(int64)", "tensor(int32)", TEXT)
_FLOATS: Final = ("tensor(float)", "tensor(double)", "tensor(float16)")


@dataclass(frozen=True, slots=True)
class Outputs:
    """Which of the model's outputs mean what; "" where there is none."""

    label: str = ""
    probabilities: str = ""
    value: str = ""

    @property
    def names(self) -> list[str]:
        """Those that there are."""
        return [name for name in (self.label, self.probabilities, self.value) if name]


def feeds_whole(given: Mapping[str, Any], spec: Spec) -> bool:
    """Whether all features go in as one tensor; else there is one input per feature."""
    names = set(spec.feature_names)
    if given.keys() == names and (len(names) > 1 or _width(next(iter(given.values()))) == 1):
        _check_kinds(given, spec)
        return False
    if len(given) == 1 and all(f.type == "numeric" for f in spec.features):
        only = next(iter(given.values()))
        if only.type == "tensor(float)" and _width(only) in (len(names), None):
            return True
    wanted = (
        f"one tensor(float) [n, {len(names)}]"
        if all(f.type == "numeric" for f in spec.features)
        else "one input per feature: " + ", ".join(spec.feature_names)
    )
    found = ", ".join(f"{i.name}: {i.type} {i.shape}" for i in given.values())
    raise InvalidInput(f"model {spec.name}: the ONNX model takes {found}; it must take {wanted}")


def _check_kinds(given: Mapping[str, Any], spec: Spec) -> None:
    for feature in spec.features:
        accepted = (TEXT,) if feature.type == "categorical" else tuple(NUMBERS)
        if given[feature.name].type not in accepted:
            raise InvalidInput(
                f"model {spec.name}: input {feature.name} is a {given[feature.name].type}; "
                f"a {feature.type} feature needs {' or '.join(accepted)}"
            )


def match_outputs(given: list[Any], spec: Spec) -> Outputs:
    """Find the outputs that the spec's task needs.

    Raises:
        InvalidInput: None fits, or several could; says what there is and what there must be.
    """
    maps = [o.name for o in given if not o.type.startswith("tensor")]
    if maps:
        raise InvalidInput(
            f"model {spec.name}: output {maps[0]} is a {next(o.type for o in given if o.name == maps[0])}; "
            'convert with options={"zipmap": False}'
        )
    floats = [o.name for o in given if o.type in _FLOATS]
    labels = [o.name for o in given if o.type in _LABELS]
    if spec.is_classifier:
        scores = [n for n in floats if "prob" in n.lower()] or floats
        if len(scores) == 1 and len(labels) <= 1:
            return Outputs(label="".join(labels), probabilities=scores[0])
        wanted = f"probabilities [n, {len(spec.label.classes)}] and, if it likes, one label [n]"
    else:
        if len(floats) == 1:
            return Outputs(value=floats[0])
        wanted = "one float [n] or [n, 1]"
    found = ", ".join(f"{o.name}: {o.type} {o.shape}" for o in given)
    raise InvalidInput(f"model {spec.name}: the ONNX model gives {found}; it must give {wanted}")


def _width(node: Any) -> int | None:
    """The size of an input's second dimension; 1 for a vector, None where it is open."""
    if len(node.shape) == 1:
        return 1
    return node.shape[1] if len(node.shape) == 2 and isinstance(node.shape[1], int) else None
