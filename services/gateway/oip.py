"""What the gateway says of itself and its models in the Open Inference Protocol, whatever the wire."""

from dataclasses import dataclass
from typing import Final

import orjson

from services.gateway.domain.contract import Contract

SERVER_NAME: Final = "slipway"
# https://github.com/triton-inference-server/server/tree/main/docs/protocol says what each of them promises.
EXTENSIONS: Final = ("binary_tensor_data", "model_configuration", "model_repository", "parameters")
PLATFORM: Final = "onnxruntime_onnx"
_COLUMNS: Final = "slipway_columns"
_MAX_ROWS: Final = "slipway_max_rows"
CONFIG_TYPES: Final = {"FP32": "TYPE_FP32", "BYTES": "TYPE_STRING"}  # in a model's configuration
NO_LOADING: Final = "versions are loaded and unloaded by their rollout; see `slipway --help`"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexEntry:
    """One version in the repository index."""

    name: str
    version: str
    state: str  # READY or UNAVAILABLE
    reason: str


def input_parameters(contract: Contract) -> dict[str, str | int]:
    """What the metadata of an input tells beside its form: the most rows of one request, and the meaning of
    the columns of [n, F], so that a client can send rows by name."""
    rows: dict[str, str | int] = {_MAX_ROWS: contract.max_batch_rows}
    return rows | {_COLUMNS: orjson.dumps(contract.numeric).decode()} if contract.is_one_tensor else rows
