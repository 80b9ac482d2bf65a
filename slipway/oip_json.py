"""Requests and answers of the Open Inference Protocol as JSON for people.

Source: Open Inference Protocol, REST, version 2: "Inference Request JSON Object" and "... Response ...".
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from slipway import tensors
from slipway.errors import InvalidInput
from slipway.oip.open_inference_pb2 import InferParameter, ModelInferRequest, ModelInferResponse

_NAMES: Final = ("name", "datatype")


def read_request(document: Mapping[str, Any], *, model: str) -> ModelInferRequest:
    """A request out of its JSON object; tensors become raw bytes.

    Raises:
        InvalidInput: Names the field.
    """
    request = ModelInferRequest(
        model_name=model,
        model_version=_text(document, "model_version"),
        id=_text(document, "id"),
    )
    _set_parameters(request.parameters, document.get("parameters"), where="parameters")
    for at, entry in enumerate(_objects(document, "inputs")):
        where = f"inputs[{at}]"
        name, datatype = (_text(entry, field, where=where) for field in _NAMES)
        request.inputs.add(name=name, datatype=datatype, shape=_shape(entry.get("shape"), where))
        request.raw_input_contents.append(_raw(entry.get("data"), datatype, where=where))
    for at, entry in enumerate(_objects(document, "outputs")):
        request.outputs.add(name=_text(entry, "name", where=f"outputs[{at}]"))
    return request


def write_response(response: ModelInferResponse) -> dict[str, Any]:
    """An answer as its JSON object, whether its tensors are raw or typed."""
    raws = response.raw_output_contents
    return {
        "model_name": response.model_name,
        "model_version": response.model_version,
        "id": response.id,
        "parameters": {name: _parameter(value) for name, value in sorted(response.parameters.items())},
        "outputs": [
            {
                "name": output.name,
                "datatype": output.datatype,
                "shape": list(output.shape),
                "data": _plain(output, raws[at] if raws else None),
            }
            for at, output in enumerate(response.outputs)
        ],
    }


def _plain(output: Any, raw: bytes | None) -> list[Any]:
    if raw is None:
        [(_, values)] = output.contents.ListFields() or [("", [])]
        values = list(values)
    else:
        values = tensors.from_raw(output.name, output.datatype, output.shape, raw).ravel().tolist()
    return [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in values]


def _parameter(value: InferParameter) -> Any:
    kind = value.WhichOneof("parameter_choice")
    return getattr(value, kind) if kind else None


def _set_parameters(target: Any, given: Any, *, where: str) -> None:
    if given is None:
        return
    if not isinstance(given, Mapping):
        raise InvalidInput(f"{where} is not an object")
    for name, value in given.items():
        if isinstance(value, bool):
            target[name].bool_param = value
        elif isinstance(value, int) and -(2**63) <= value < 2**63:
            target[name].int64_param = value
        elif isinstance(value, float):
            target[name].double_param = value
        elif isinstance(value, str):
            target[name].string_param = value
        else:
            raise InvalidInput(f"{where}[{name[:60]!r}] is neither text, number nor boolean")


def _objects(document: Mapping[str, Any], field: str) -> list[Mapping[str, Any]]:
    entries = document.get(field, [])
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise InvalidInput(f"{field} is not a list of objects")
    return entries


def _text(document: Mapping[str, Any], field: str, *, where: str = "") -> str:
    value = document.get(field, "")
    if not isinstance(value, str):
        raise InvalidInput(f"{where}{'.' if where else ''}{field} is not text")
    return value


def _shape(shape: Any, where: str) -> list[int]:
    if not isinstance(shape, list) or not all(
        isinstance(dim, int) and not isinstance(dim, bool) and 0 <= dim < 2**31 for dim in shape
    ):
        raise InvalidInput(f"{where}.shape is not a list of whole numbers")
    return shape


def _raw(data: Any, datatype: str, *, where: str) -> bytes:
    if datatype not in tensors.DTYPES:
        raise InvalidInput(f"{where}.datatype {datatype[:20]!r} is not one of {', '.join(tensors.DTYPES)}")
    if not isinstance(data, list):
        raise InvalidInput(f"{where}.data is not a list")
    try:
        array = np.array(data, dtype=object).reshape(-1)
        if datatype == "BYTES":
            if not all(isinstance(value, str) for value in array):
                raise InvalidInput(f"{where}.data: BYTES are texts")
            return tensors.to_raw(array)
        # null stands for a missing number.
        numbers = [np.nan if value is None else value for value in array]
        return np.array(numbers, dtype=tensors.DTYPES[datatype]).tobytes()
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(f"{where}.data does not fit {datatype}: {error}") from error
