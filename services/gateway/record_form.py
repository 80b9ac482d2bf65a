"""The record of an answer as bytes; what all answers of one arm have in common is serialized once."""

from collections.abc import Sequence
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from services.gateway.domain.batching import Columns
from services.gateway.domain.coding import Coder
from services.gateway.domain.contract import Contract
from services.gateway.domain.routing import Arm
from services.gateway.domain.wire_format import field
from slipway.identity.caller import Caller
from slipway.policy.engine import Decision
from slipway.signature import TensorSpec
from slipway.v1.predictions_pb2 import PredictionContext, PredictionServed
from slipway.v1.tensors_pb2 import FeatureBins, Payload, Tensor

_PAYLOAD: Final = PredictionServed.PAYLOAD_FIELD_NUMBER
_BINS: Final = PredictionServed.FEATURE_BINS_FIELD_NUMBER
_INPUTS: Final = Payload.INPUTS_FIELD_NUMBER
_OUTPUTS: Final = Payload.OUTPUTS_FIELD_NUMBER
_RAW: Final = Tensor.RAW_FIELD_NUMBER
_FEATURE: Final = FeatureBins.FEATURE_FIELD_NUMBER
_CODES: Final = FeatureBins.CODES_FIELD_NUMBER
_MOST_CALLERS: Final = 1024
_MOST_SIZES: Final = 64  # requests of so many different row counts have their parts at hand

K = TypeVar("K")
V = TypeVar("V")
Heads = tuple[tuple[bytes, ...], tuple[bytes, ...]]  # of the input and output tensors


class RecordForm:
    """The form that the answers of one arm, under one route table, are recorded in."""

    def __init__(self, contract: Contract, arm: Arm, *, epoch: int, coder: Coder) -> None:
        self.coder = coder
        self._signature = contract.signature
        self._arm = PredictionContext(
            model=contract.model, version=arm.version, digest=arm.digest, arm=arm.role, route_epoch=epoch
        )
        self._contexts: dict[tuple[Caller, str], bytes] = {}
        self._heads: dict[int, Heads] = {}
        self._bins: dict[int, tuple[NDArray[np.uint8], NDArray[np.intp]]] = {}

    def about(self, caller: Caller, decision: Decision) -> PredictionContext:
        """What the records of this arm to one caller have in common, as long as the policies stay."""
        about = PredictionContext(
            tenant=caller.tenant,
            principal=caller.principal,
            auth_method=caller.method,
            credential_id=caller.credential_id,
            policy_hash=decision.policy_hash,
            decision_id=decision.decision_id,
        )
        about.MergeFrom(self._arm)
        return about

    def context(self, own: PredictionContext, *, caller: Caller, decision: Decision) -> bytes:
        """The context of a PredictionServed; `own` holds what no other prediction shares."""
        key = (caller, decision.decision_id)
        shared = self._contexts.get(key)
        if shared is None:
            shared = PredictionServed(context=self.about(caller, decision)).SerializeToString()
            _remember(self._contexts, key, shared, most=_MOST_CALLERS)
        return shared + PredictionServed(context=own).SerializeToString()

    def payload(self, columns: Columns, outputs: Columns, *, rows: int) -> bytes:
        """The payload of a PredictionServed."""
        heads = self._heads.get(rows)
        if heads is None:
            signature = self._signature
            heads = _tensor_heads(signature.inputs, rows), _tensor_heads(signature.outputs, rows)
            _remember(self._heads, rows, heads, most=_MOST_SIZES)
        inputs = [
            field(_INPUTS, head + field(_RAW, raw)) for head, raw in zip(heads[0], columns, strict=True)
        ]
        results = [
            field(_OUTPUTS, head + field(_RAW, raw)) for head, raw in zip(heads[1], outputs, strict=True)
        ]
        return field(_PAYLOAD, b"".join(inputs + results))

    def feature_bins(self, codes: NDArray[np.uint8]) -> bytes:
        """The feature_bins of a PredictionServed.

        Args:
            codes: Shape (features of the coder, rows).
        """
        rows = codes.shape[1]
        known = self._bins.get(rows)
        if known is None:
            known = _bins_form(self.coder.features, rows)
            _remember(self._bins, rows, known, most=_MOST_SIZES)
        blank, places = known
        filled = blank.copy()
        filled[places] = codes.ravel()
        return filled.tobytes()


def _tensor_heads(specs: Sequence[TensorSpec], rows: int) -> tuple[bytes, ...]:
    """Each tensor without its bytes."""
    return tuple(
        Tensor(name=spec.name, datatype=spec.datatype, shape=(rows, *spec.shape[1:])).SerializeToString()
        for spec in specs
    )


def _bins_form(features: Sequence[str], rows: int) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """The field with all codes 0, and where the codes stand, feature by feature."""
    blank = b""
    places: list[int] = []
    for feature in features:
        blank += field(_BINS, field(_FEATURE, feature.encode()) + field(_CODES, bytes(rows)))
        places += range(len(blank) - rows, len(blank))
    return np.frombuffer(blank, dtype=np.uint8), np.array(places, dtype=np.intp)


def _remember(kept: dict[K, V], key: K, value: V, *, most: int) -> None:
    if len(kept) >= most:
        kept.clear()
    kept[key] = value
