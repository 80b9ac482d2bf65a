"""Arrays to bytes and back, in the raw form of the Open Inference Protocol."""

import math
import struct
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from slipway.errors import InvalidInput
from slipway.v1.tensors_pb2 import Tensor

Array = NDArray[Any]

DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "BOOL": np.dtype(np.bool_),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype(object),
}
_CODES: Final = {"FP32": "f", "FP64": "d", "INT32": "i", "INT64": "q"}  # of struct
_NAMES: Final = {dtype: name for name, dtype in DTYPES.items()}


def from_raw(name: str, datatype: str, shape: Iterable[int], raw: bytes) -> Array:
    """View raw bytes as an array; BYTES become an object array of `bytes`.

    Raises:
        InvalidInput: Unknown datatype, or the length does not fit the shape.
    """
    dims = tuple(shape)
    if datatype not in DTYPES:
        raise InvalidInput(f"tensor {name!r}: datatype {datatype!r} is not one of {', '.join(DTYPES)}")
    if min(dims, default=0) < 0:
        raise InvalidInput(f"tensor {name!r}: shape {list(dims)} has a negative dimension")
    count = math.prod(dims)
    if datatype == "BYTES":
        return np.array(_split(name, raw, count), dtype=object).reshape(dims)
    dtype = DTYPES[datatype]
    if len(raw) != count * dtype.itemsize:
        raise InvalidInput(
            f"tensor {name!r}: {len(raw)} bytes, but {datatype} {list(dims)} needs {count * dtype.itemsize}"
        )
    return np.frombuffer(raw, dtype=dtype).reshape(dims)


def _split(name: str, raw: bytes, count: int) -> list[bytes]:
    """Take apart elements that are each preceded by a little-endian uint32 length."""
    elements: list[bytes] = []
    at = 0
    while at + 4 <= len(raw) and len(elements) < count:
        (size,) = struct.unpack_from("<I", raw, at)
        if at + 4 + size > len(raw):
            break
        elements.append(raw[at + 4 : at + 4 + size])
        at += 4 + size
    if at != len(raw) or len(elements) != count:
        raise InvalidInput(f"tensor {name!r}: {len(raw)} bytes do not hold {count} length-prefixed elements")
    return elements


def to_raw(array: Array) -> bytes:
    """The array's elements, little-endian and row-major."""
    if array.dtype == object or array.dtype.kind in "US":
        return b"".join(_prefixed(element) for element in array.reshape(-1))
    return np.ascontiguousarray(array, dtype=DTYPES[datatype_of(array)]).tobytes()


def _prefixed(element: Any) -> bytes:
    data = element if isinstance(element, bytes) else str(element).encode()
    return struct.pack("<I", len(data)) + data


def datatype_of(array: Array) -> str:
    """The protocol's name for an array's dtype.

    Raises:
        InvalidInput: The protocol has none.
    """
    if array.dtype.kind in "USO":
        return "BYTES"
    name = _NAMES.get(array.dtype.newbyteorder("<")) or _NAMES.get(array.dtype)
    if name is None:
        raise InvalidInput(f"dtype {array.dtype} has no Open Inference datatype")
    return name


def to_tensor(name: str, array: Array) -> Tensor:
    """An array as a record's tensor."""
    return Tensor(name=name, datatype=datatype_of(array), shape=array.shape, raw=to_raw(array))


def from_tensor(tensor: Tensor) -> Array:
    """A record's tensor as an array."""
    return from_raw(tensor.name, tensor.datatype, tensor.shape, tensor.raw)


def to_list(tensor: Tensor) -> list[Any]:
    """The elements in row-major order, as Python's own values; for few of them quicker than an array.

    Raises:
        InvalidInput: As `from_tensor`.
    """
    dims, raw = tuple(tensor.shape), tensor.raw
    count, code = math.prod(dims), _CODES.get(tensor.datatype)
    if code and min(dims, default=0) >= 0 and len(raw) == count * struct.calcsize(code):
        return list(struct.unpack(f"<{count}{code}", raw))
    if tensor.datatype == "BYTES" and min(dims, default=0) >= 0:
        return _split(tensor.name, raw, count)
    return from_tensor(tensor).ravel().tolist()


def take_row(tensor: Tensor, row: int) -> Tensor:
    """The tensor of one row, keeping a first dimension of 1."""
    return to_tensor(tensor.name, from_tensor(tensor)[row : row + 1])
