"""Input profiles between their protobuf form and the pure ones of `slipway.stats`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from slipway.errors import InvalidInput
from slipway.stats.agreement import AgreementModel, decoded, encoded, model_of
from slipway.stats.columns import Columns
from slipway.stats.confidence import Calibration
from slipway.stats.density_score import DensityModel
from slipway.v1 import defence_pb2

MAX_BYTES: Final = 320 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class InputProfile:
    """What a version knows of rows unlike its own, and of its sureness."""

    features: tuple[str, ...]  # numeric ones, then categorical ones
    density: DensityModel | None = None
    calibration: Calibration | None = None
    agreement: AgreementModel | None = None  # never without density


def to_bytes(profile: InputProfile) -> bytes:
    """The serialized message.

    Raises:
        InvalidInput: It is larger than a route table should carry.
    """
    message = defence_pb2.InputProfile(features=profile.features)
    if profile.density is not None:
        message.density.CopyFrom(_density_message(profile.density))
    if profile.calibration is not None:
        message.calibration.CopyFrom(_calibration_message(profile.calibration))
    if profile.agreement is not None:
        message.agreement.CopyFrom(_agreement_message(profile.agreement))
    data = message.SerializeToString(deterministic=True)
    if len(data) > MAX_BYTES:
        raise InvalidInput(
            f"the input profile has {len(data)} bytes; at most {MAX_BYTES}: are names very long?"
        )
    return data


def from_bytes(data: bytes) -> InputProfile:
    """What `to_bytes` made.

    Raises:
        InvalidInput: It did not make this.
    """
    try:
        return from_message(defence_pb2.InputProfile.FromString(data))
    except DecodeError as error:
        raise InvalidInput(f"not an input profile: {error}") from error


def from_message(message: defence_pb2.InputProfile) -> InputProfile:
    """The pure profile; arrays that do not fit each other are refused.

    Raises:
        InvalidInput: They do not.
    """
    try:
        density = _density(message.density) if message.HasField("density") else None
        return InputProfile(
            features=tuple(message.features),
            density=density,
            agreement=_agreement(message.agreement, density) if message.HasField("agreement") else None,
            calibration=_calibration(message.calibration) if message.HasField("calibration") else None,
        )
    except ValueError as error:
        raise InvalidInput(f"the input profile is broken: {error}") from error


def _density_message(model: DensityModel) -> defence_pb2.DensityProfile:
    columns = model.columns
    return defence_pb2.DensityProfile(
        columns=model.projection.shape[0],
        kept=model.projection.shape[1],
        bend=_bytes(columns.bend, "<f8"),
        center=_bytes(columns.center, "<f8"),
        scale=_bytes(columns.scale, "<f8"),
        absent=_bytes(columns.absent, "<f8"),
        categories=[
            defence_pb2.CategorySurprise(
                names=list(known), nats=_bytes(list(known.values()), "<f8"), unseen_nats=unseen
            )
            for known, unseen in zip(columns.surprises, columns.unseen, strict=True)
        ],
        projection=_bytes(model.projection, "<f4"),
        variances=_bytes(model.variances, "<f4"),
        rest_precision=model.rest_precision,
        references=_bytes(model.references, "<f2"),
        detector=model.detector,
        middle_scale=model.middle_scale,
        neighbour_scale=model.neighbour_scale,
        calibration=_bytes(model.calibration, "<f4"),
    )


def _density(message: defence_pb2.DensityProfile) -> DensityModel:
    shape = (message.columns, message.kept)
    references = _array(message.references, "<f2").reshape(-1, message.kept).astype(np.float32)
    if message.detector not in ("mahalanobis", "neighbours", "both"):
        raise ValueError(f"detector {message.detector[:40]!r}")
    return DensityModel(
        columns=_columns(message),
        projection=_array(message.projection, "<f4").reshape(shape),
        variances=_array(message.variances, "<f4").reshape(message.kept),
        rest_precision=message.rest_precision,
        references=references,
        reference_squares=np.einsum("ij,ij->i", references, references),
        detector=message.detector,  # type: ignore[arg-type]
        middle_scale=message.middle_scale,
        neighbour_scale=message.neighbour_scale,
        calibration=_array(message.calibration, "<f4"),
        threshold=1.0,
    )


def _columns(message: defence_pb2.DensityProfile) -> Columns:
    tables = [
        dict(zip(entry.names, _array(entry.nats, "<f8").tolist(), strict=True))
        for entry in message.categories
    ]
    absent = _array(message.absent, "<f8")
    numeric = len(absent)
    if numeric + 1 + len(tables) != message.columns:
        raise ValueError(f"{numeric} numbers and {len(tables)} categories in {message.columns} columns")
    return Columns(
        bend=_array(message.bend, "<f8").reshape(numeric),
        center=_array(message.center, "<f8").reshape(message.columns),
        scale=_array(message.scale, "<f8").reshape(message.columns),
        surprises=tuple(tables),
        unseen=tuple(entry.unseen_nats for entry in message.categories),
        absent=absent,
    )


def _agreement_message(model: AgreementModel) -> defence_pb2.AgreementProfile:
    return defence_pb2.AgreementProfile(
        low=_bytes(model.low, "<f4"),
        weights=_bytes(model.weights, "<f4"),
        references=encoded(model.references).tobytes(),
        counts=model.counts.tolist(),
        calibration=_bytes(model.calibration, "<f4"),
    )


def _agreement(message: defence_pb2.AgreementProfile, density: DensityModel | None) -> AgreementModel:
    if density is None:
        raise ValueError("answers are compared in columns that are not there")
    columns, counts = len(density.columns.center), np.array(message.counts, dtype=np.int64)
    if not counts.any():
        raise ValueError("no class has a reference")
    return model_of(
        low=_array(message.low, "<f4").reshape(columns),
        weights=_array(message.weights, "<f4").reshape(columns),
        references=decoded(_array(message.references, "u1").reshape(int(counts.sum()), columns)),
        counts=counts,
        calibration=_array(message.calibration, "<f4").reshape(len(density.calibration)),
    )


def _calibration_message(calibration: Calibration) -> defence_pb2.CalibrationProfile:
    return defence_pb2.CalibrationProfile(
        temperature=calibration.temperature,
        lac_scores=_bytes(calibration.lac, "<f4"),
        aps_scores=_bytes(calibration.aps, "<f4"),
        residuals=_bytes(calibration.residuals, "<f4"),
        rows=calibration.rows,
    )


def _calibration(message: defence_pb2.CalibrationProfile) -> Calibration:
    return Calibration(
        temperature=message.temperature,
        lac=_array(message.lac_scores, "<f4"),
        aps=_array(message.aps_scores, "<f4"),
        residuals=_array(message.residuals, "<f4"),
        rows=message.rows,
    )


def _bytes(values: NDArray[Any] | Sequence[float], dtype: str) -> bytes:
    return np.asarray(values).astype(dtype).tobytes()


def _array(data: bytes, dtype: str) -> NDArray[Any]:
    return np.frombuffer(data, dtype=dtype)
