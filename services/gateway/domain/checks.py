"""Whether a request keeps its model's contract; what is refused is named by tensor, feature and row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.gateway.domain import elements
from services.gateway.domain.contract import Contract, Floats
from slipway.errors import InvalidInput
from slipway.signature import FEATURES, TensorSpec
from slipway.spec_sections import Feature


# Not frozen, as it is made for every request: that would triple its cost.
@dataclass(slots=True, kw_only=True)
class InputTensor:
    """One tensor as it was sent, in raw form."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    raw: bytes


# Not frozen, as it is made for every request: that would triple its cost.
@dataclass(slots=True, kw_only=True)
class CheckedInput:
    """A request that the model can answer."""

    rows: int
    columns: tuple[bytes, ...]  # raw tensors in the order of the signature
    numbers: Floats  # shape (rows, numeric features)
    outside: NDArray[np.bool_] | None  # where numbers leave their range; None where none does
    has_missing: bool  # a NaN among the numbers
    texts: Mapping[str, list[str]]  # categorical features
    flags: tuple[str, ...]


def check_inputs(contract: Contract, tensors: Sequence[InputTensor]) -> CheckedInput:
    """Check names, datatypes, shapes, row count and values.

    Raises:
        InvalidInput: Names what is wrong, and where.
    """
    wanted = contract.signature.inputs
    ordered = _in_order(tensors, wanted)
    rows = _rows(ordered[0], contract.max_batch_rows)
    for spec, tensor in zip(wanted, ordered, strict=True):
        _check_form(spec, tensor, rows=rows)
    numbers = _numbers(contract, ordered, rows=rows)
    # Most requests hold nothing unusual, and one comparison of bytes tells.
    is_usual = _is_within(contract, numbers)
    has_missing = not is_usual and _check_numbers(contract, numbers)
    texts = _all_texts(contract, ordered, rows=rows)
    outside = None if is_usual else _outside(contract, numbers)
    flags = (*_range_flags(contract, outside), *_category_flags(contract.categorical, texts))
    if flags and contract.refuses_out_of_range:
        raise InvalidInput(f"values outside what the spec of {contract.model!r} declares: {', '.join(flags)}")
    return CheckedInput(
        rows=rows,
        columns=tuple([tensor.raw for tensor in ordered]),
        numbers=numbers,
        outside=outside,
        has_missing=has_missing,
        texts=texts,
        flags=flags,
    )


def check_outputs(contract: Contract, requested: Sequence[str]) -> tuple[str, ...]:
    """The outputs to answer with: those asked for, or all of them.

    Raises:
        InvalidInput: One does not exist or is asked for twice.
    """
    for name in requested:
        if name not in contract.output_names:
            known = ", ".join(contract.output_names)
            raise InvalidInput(f"output {name[:60]!r} does not exist; {contract.model!r} answers {known}")
    if len(set(requested)) != len(requested):
        raise InvalidInput(f"outputs {list(requested)} name one tensor twice")
    return tuple(requested) or contract.output_names


def _in_order(tensors: Sequence[InputTensor], wanted: Sequence[TensorSpec]) -> Sequence[InputTensor]:
    """The tensors in the order of the signature."""
    if len(tensors) == len(wanted) and all(
        t.name == spec.name for t, spec in zip(tensors, wanted, strict=True)
    ):
        return tensors
    names = {spec.name for spec in wanted}
    by_name: dict[str, InputTensor] = {}
    for tensor in tensors:
        if tensor.name not in names:
            listed = ", ".join(spec.name for spec in wanted[:20])
            raise InvalidInput(f"input {tensor.name[:60]!r} is not an input of the model; it takes {listed}")
        if tensor.name in by_name:
            raise InvalidInput(f"input {tensor.name!r} is sent twice")
        by_name[tensor.name] = tensor
    missing = [spec.name for spec in wanted if spec.name not in by_name]
    if missing:
        raise InvalidInput(f"input {', '.join(missing[:20])} is missing")
    return [by_name[spec.name] for spec in wanted]


def _rows(tensor: InputTensor, limit: int) -> int:
    rows = tensor.shape[0] if tensor.shape else 0
    if not 1 <= rows <= limit:
        raise InvalidInput(
            f"input {tensor.name!r}: {rows} rows in shape {list(tensor.shape)[:8]}; send 1 to {limit}"
        )
    return rows


def _check_form(spec: TensorSpec, tensor: InputTensor, *, rows: int) -> None:
    if tensor.datatype != spec.datatype:
        raise InvalidInput(
            f"input {spec.name!r}: datatype {tensor.datatype[:20]!r}, but the model takes {spec.datatype}"
        )
    shape = (rows, *spec.shape[1:])
    if tensor.shape != shape:
        raise InvalidInput(
            f"input {spec.name!r}: shape {list(tensor.shape)[:8]}, "
            f"but {list(shape)} is needed for {rows} rows"
        )
    width = spec.shape[1]
    if spec.datatype == "FP32" and len(tensor.raw) != rows * width * 4:
        raise InvalidInput(
            f"input {spec.name!r}: {len(tensor.raw)} bytes, but FP32 {list(shape)} needs {rows * width * 4}"
        )


def _numbers(contract: Contract, ordered: Sequence[InputTensor], *, rows: int) -> Floats:
    width = len(contract.numeric)
    if contract.is_one_tensor:
        return np.frombuffer(ordered[0].raw, dtype="<f4").reshape(rows, width)
    numbers = np.empty((rows, width), dtype=np.float32)
    numeric = [tensor for tensor in ordered if tensor.datatype == "FP32"]
    for column, tensor in enumerate(numeric):
        numbers[:, column] = np.frombuffer(tensor.raw, dtype="<f4")
    return numbers


def _is_within(contract: Contract, numbers: Floats) -> bool:
    """Whether every number is finite and in its range; False only means that it takes a closer look.

    fmax and fmin pass a NaN over, so that it comes out as a bound and the bytes differ.
    """
    within = np.fmin(np.fmax(numbers, contract.least), contract.most)
    return within.tobytes() == numbers.tobytes()


def _check_numbers(contract: Contract, numbers: Floats) -> bool:
    """Refuse what no model takes; returns whether there is a NaN."""
    infinite = np.isinf(numbers)
    if infinite.any():
        raise InvalidInput(f"{_where(contract, infinite)} is infinite")
    missing = np.isnan(numbers)
    refused = missing & ~contract.is_nullable
    if refused.any():
        raise InvalidInput(f"{_where(contract, refused)} is NaN, and the feature is not nullable")
    return bool(missing.any())


def _where(contract: Contract, mask: NDArray[np.bool_]) -> str:
    row, column = (int(index) for index in np.argwhere(mask)[0])
    feature = contract.numeric[column]
    tensor = FEATURES if contract.is_one_tensor else feature
    return f"input {tensor!r}: feature {feature!r} in row {row}"


def _outside(contract: Contract, numbers: Floats) -> NDArray[np.bool_] | None:
    outside: NDArray[Any] = (numbers < contract.low) | (numbers > contract.high)
    return outside if outside.any() else None


def _range_flags(contract: Contract, outside: NDArray[np.bool_] | None) -> list[str]:
    if outside is None:
        return []
    return [f"out_of_range:{contract.numeric[column]}" for column in np.flatnonzero(outside.any(axis=0))]


def _all_texts(contract: Contract, ordered: Sequence[InputTensor], *, rows: int) -> dict[str, list[str]]:
    if not contract.categorical:
        return {}
    by_name = {tensor.name: tensor for tensor in ordered}
    return {f.name: _texts(f, by_name[f.name], rows=rows) for f in contract.categorical}


def _texts(feature: Feature, tensor: InputTensor, *, rows: int) -> list[str]:
    ends = elements.element_ends(tensor.raw, rows)
    if ends is None:
        raise InvalidInput(
            f"input {feature.name!r}: {len(tensor.raw)} bytes do not hold {rows} length-prefixed elements"
        )
    texts: list[str] = []
    for row, element in enumerate(elements.split(tensor.raw, ends)):
        try:
            texts.append(element.decode())
        except UnicodeDecodeError as error:
            raise InvalidInput(
                f"input {feature.name!r}: feature {feature.name!r} in row {row} is not UTF-8"
            ) from error
    if not feature.nullable and "" in texts and "" not in (feature.categories or ()):
        raise InvalidInput(
            f"input {feature.name!r}: feature {feature.name!r} in row {texts.index('')} is empty, "
            "and the feature is not nullable"
        )
    return texts


def _category_flags(features: Sequence[Feature], texts: Mapping[str, list[str]]) -> list[str]:
    return [
        f"unknown_category:{feature.name}"
        for feature in features
        if feature.categories is not None and set(texts[feature.name]) - {"", *feature.categories}
    ]
