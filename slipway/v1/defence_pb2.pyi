from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class InputProfile(_message.Message):
    __slots__ = ("density", "calibration", "features", "agreement")
    DENSITY_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    density: DensityProfile
    calibration: CalibrationProfile
    features: _containers.RepeatedScalarFieldContainer[str]
    agreement: AgreementProfile
    def __init__(self, density: _Optional[_Union[DensityProfile, _Mapping]] = ..., calibration: _Optional[_Union[CalibrationProfile, _Mapping]] = ..., features: _Optional[_Iterable[str]] = ..., agreement: _Optional[_Union[AgreementProfile, _Mapping]] = ...) -> None: ...

class DensityProfile(_message.Message):
    __slots__ = ("columns", "kept", "bend", "center", "scale", "absent", "categories", "projection", "variances", "rest_precision", "references", "detector", "middle_scale", "neighbour_scale", "calibration")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    BEND_FIELD_NUMBER: _ClassVar[int]
    CENTER_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    ABSENT_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    PROJECTION_FIELD_NUMBER: _ClassVar[int]
    VARIANCES_FIELD_NUMBER: _ClassVar[int]
    REST_PRECISION_FIELD_NUMBER: _ClassVar[int]
    REFERENCES_FIELD_NUMBER: _ClassVar[int]
    DETECTOR_FIELD_NUMBER: _ClassVar[int]
    MIDDLE_SCALE_FIELD_NUMBER: _ClassVar[int]
    NEIGHBOUR_SCALE_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    columns: int
    kept: int
    bend: bytes
    center: bytes
    scale: bytes
    absent: bytes
    categories: _containers.RepeatedCompositeFieldContainer[CategorySurprise]
    projection: bytes
    variances: bytes
    rest_precision: float
    references: bytes
    detector: str
    middle_scale: float
    neighbour_scale: float
    calibration: bytes
    def __init__(self, columns: _Optional[int] = ..., kept: _Optional[int] = ..., bend: _Optional[bytes] = ..., center: _Optional[bytes] = ..., scale: _Optional[bytes] = ..., absent: _Optional[bytes] = ..., categories: _Optional[_Iterable[_Union[CategorySurprise, _Mapping]]] = ..., projection: _Optional[bytes] = ..., variances: _Optional[bytes] = ..., rest_precision: _Optional[float] = ..., references: _Optional[bytes] = ..., detector: _Optional[str] = ..., middle_scale: _Optional[float] = ..., neighbour_scale: _Optional[float] = ..., calibration: _Optional[bytes] = ...) -> None: ...

class AgreementProfile(_message.Message):
    __slots__ = ("low", "weights", "references", "counts", "calibration")
    LOW_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    REFERENCES_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    low: bytes
    weights: bytes
    references: bytes
    counts: _containers.RepeatedScalarFieldContainer[int]
    calibration: bytes
    def __init__(self, low: _Optional[bytes] = ..., weights: _Optional[bytes] = ..., references: _Optional[bytes] = ..., counts: _Optional[_Iterable[int]] = ..., calibration: _Optional[bytes] = ...) -> None: ...

class CategorySurprise(_message.Message):
    __slots__ = ("names", "nats", "unseen_nats")
    NAMES_FIELD_NUMBER: _ClassVar[int]
    NATS_FIELD_NUMBER: _ClassVar[int]
    UNSEEN_NATS_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    nats: bytes
    unseen_nats: float
    def __init__(self, names: _Optional[_Iterable[str]] = ..., nats: _Optional[bytes] = ..., unseen_nats: _Optional[float] = ...) -> None: ...

class CalibrationProfile(_message.Message):
    __slots__ = ("temperature", "lac_scores", "aps_scores", "residuals", "rows")
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    LAC_SCORES_FIELD_NUMBER: _ClassVar[int]
    APS_SCORES_FIELD_NUMBER: _ClassVar[int]
    RESIDUALS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    temperature: float
    lac_scores: bytes
    aps_scores: bytes
    residuals: bytes
    rows: int
    def __init__(self, temperature: _Optional[float] = ..., lac_scores: _Optional[bytes] = ..., aps_scores: _Optional[bytes] = ..., residuals: _Optional[bytes] = ..., rows: _Optional[int] = ...) -> None: ...
