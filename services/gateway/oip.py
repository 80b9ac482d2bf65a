"""What the gateway says of itself and its models in the Open Inference Protocol, whatever the wire."""

from dataclasses import dataclass
from typing import Final

import orjson

from services.gateway.domain.contract import Contract

SERVER_NAME: Final = "slipway"
# https://github.com/triton-inference-server/server/tree/main/docs/protocol says what each of them promises.
EXTENSIONS: Final = ("binary_tensor_data", "model_configuration", "model_repository", "parameters")
PLATFORM: Final = "onnxruntime_onnx"
COLUMNS: Final = "slipway_columns"  # a parameter of an input tensor: names of the columns of [n, F]
CONFIG_TYPES: Final = {"FP32": "TYPE_FP32", "BYTES": "TYPE_STRING"}  # in a model's configuration
NO_LOADING: Final = "versions are loaded and unloaded by their rollout; see `slipway --help`"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexEntry:
    """One version in the repository index."""

    name: str
    version: str
    state: str  # READY or UNAVAILABLE
    reason: str


def columns_text(contract: Contract) -> str | None:
    """The meaning of the columns, so that a client can send rows by name; None where tensors have names."""
    return orjson.dumps(contract.numeric).decode() if contract.is_one_tensor else None
