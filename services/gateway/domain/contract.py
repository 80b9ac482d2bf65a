"""What a model demands of a request, worked out once per spec so that a request only compares."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.signature import Signature, signature_of
from slipway.spec import Spec
from slipway.spec_sections import Feature

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """Signature, limits and per-feature rules of one model; numeric features come as one matrix."""

    model: str
    signature: Signature
    numeric: tuple[str, ...]
    low: Floats  # shape (numeric features,), -inf where the spec gives no range
    high: Floats
    least: Floats  # as low and high, but the largest finite numbers where the spec gives no range
    most: Floats
    is_nullable: NDArray[np.bool_]
    categorical: tuple[Feature, ...]
    is_one_tensor: bool  # a single `features` tensor in place of one tensor per feature
    max_batch_rows: int
    max_queued_rows: int
    timeout_s: float
    refuses_out_of_range: bool
    hedge_share: float
    fallback: tuple[str, ...]
    default_answer: str | float | None
    classes: tuple[str, ...]  # empty for regression
    cache_ttl_s: float  # 0: answers are never kept
    keeps_stale: bool  # whether an old answer may stand in for one that cannot be computed
    recording: str  # what an answer waits for: standard, fsync, broker
    is_strict: bool  # whether it waits for anything
    counts_unrecorded: bool  # answers go on, and are counted, while records have no room
    extraction_action: str  # for callers who seem to copy the model: none, flag, review, refuse

    @property
    def output_names(self) -> tuple[str, ...]:
        """Outputs in order."""
        return tuple(tensor.name for tensor in self.signature.outputs)


def contract_of(spec: Spec) -> Contract:
    """The contract of a model spec."""
    numeric = [feature for feature in spec.features if feature.type == "numeric"]
    ranges: list[Any] = [feature.range or (-np.inf, np.inf) for feature in numeric]
    # In single precision, as the values come: 0.1 sent as FP32 is within a range that ends at 0.1.
    bounds = np.array(ranges, dtype=np.float32).reshape(len(numeric), 2)
    return Contract(
        model=spec.name,
        signature=signature_of(spec),
        numeric=tuple(feature.name for feature in numeric),
        low=bounds[:, 0].copy(),
        high=bounds[:, 1].copy(),
        least=np.nan_to_num(bounds[:, 0]),
        most=np.nan_to_num(bounds[:, 1]),
        is_nullable=np.array([feature.nullable for feature in numeric], dtype=np.bool_),
        categorical=tuple(feature for feature in spec.features if feature.type == "categorical"),
        is_one_tensor=len(numeric) == len(spec.features),
        max_batch_rows=spec.serving.max_batch_rows,
        max_queued_rows=spec.serving.max_queued_rows,
        timeout_s=spec.serving.timeout_ms / 1000,
        refuses_out_of_range=spec.serving.refuse_out_of_range,
        hedge_share=spec.serving.hedge_share,
        fallback=spec.serving.fallback,
        default_answer=spec.serving.default_answer,
        classes=spec.label.classes,
        cache_ttl_s=spec.serving.cache_ttl_s,
        keeps_stale="cached_answer" in spec.serving.fallback,
        recording=spec.serving.recording,
        is_strict=spec.serving.recording != "standard",
        counts_unrecorded=spec.serving.when_records_full == "count",
        extraction_action=spec.defence.extraction.action,
    )
