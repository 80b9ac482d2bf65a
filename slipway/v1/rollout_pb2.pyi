import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from slipway.v1 import defence_pb2 as _defence_pb2
from slipway.v1 import tensors_pb2 as _tensors_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ModelSpec(_message.Message):
    __slots__ = ("name", "tenant", "revision", "yaml", "recipe", "recipe_digest", "digest", "applied_at", "applied_by")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    YAML_FIELD_NUMBER: _ClassVar[int]
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    RECIPE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    APPLIED_AT_FIELD_NUMBER: _ClassVar[int]
    APPLIED_BY_FIELD_NUMBER: _ClassVar[int]
    name: str
    tenant: str
    revision: int
    yaml: str
    recipe: str
    recipe_digest: str
    digest: str
    applied_at: _timestamp_pb2.Timestamp
    applied_by: str
    def __init__(self, name: _Optional[str] = ..., tenant: _Optional[str] = ..., revision: _Optional[int] = ..., yaml: _Optional[str] = ..., recipe: _Optional[str] = ..., recipe_digest: _Optional[str] = ..., digest: _Optional[str] = ..., applied_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., applied_by: _Optional[str] = ...) -> None: ...

class Arm(_message.Message):
    __slots__ = ("version", "digest", "upstream", "role", "weight_ppm", "profile", "mirror_ppm", "max_mirrored_per_s", "input_profile")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    UPSTREAM_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_PPM_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    MIRROR_PPM_FIELD_NUMBER: _ClassVar[int]
    MAX_MIRRORED_PER_S_FIELD_NUMBER: _ClassVar[int]
    INPUT_PROFILE_FIELD_NUMBER: _ClassVar[int]
    version: str
    digest: str
    upstream: str
    role: str
    weight_ppm: int
    profile: _tensors_pb2.ReferenceProfile
    mirror_ppm: int
    max_mirrored_per_s: float
    input_profile: _defence_pb2.InputProfile
    def __init__(self, version: _Optional[str] = ..., digest: _Optional[str] = ..., upstream: _Optional[str] = ..., role: _Optional[str] = ..., weight_ppm: _Optional[int] = ..., profile: _Optional[_Union[_tensors_pb2.ReferenceProfile, _Mapping]] = ..., mirror_ppm: _Optional[int] = ..., max_mirrored_per_s: _Optional[float] = ..., input_profile: _Optional[_Union[_defence_pb2.InputProfile, _Mapping]] = ...) -> None: ...

class RouteTable(_message.Message):
    __slots__ = ("model", "tenant", "epoch", "arms", "salt", "written_at")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ARMS_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    WRITTEN_AT_FIELD_NUMBER: _ClassVar[int]
    model: str
    tenant: str
    epoch: int
    arms: _containers.RepeatedCompositeFieldContainer[Arm]
    salt: str
    written_at: _timestamp_pb2.Timestamp
    def __init__(self, model: _Optional[str] = ..., tenant: _Optional[str] = ..., epoch: _Optional[int] = ..., arms: _Optional[_Iterable[_Union[Arm, _Mapping]]] = ..., salt: _Optional[str] = ..., written_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RolloutEvent(_message.Message):
    __slots__ = ("model", "tenant", "rollout_id", "seq", "epoch", "from_state", "to_state", "trigger", "version", "champion_version", "weight_ppm", "actor", "reason", "at", "step", "evidence", "decision_id", "policy_hash")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FROM_STATE_FIELD_NUMBER: _ClassVar[int]
    TO_STATE_FIELD_NUMBER: _ClassVar[int]
    TRIGGER_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CHAMPION_VERSION_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_PPM_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_HASH_FIELD_NUMBER: _ClassVar[int]
    model: str
    tenant: str
    rollout_id: str
    seq: int
    epoch: int
    from_state: str
    to_state: str
    trigger: str
    version: str
    champion_version: str
    weight_ppm: int
    actor: str
    reason: str
    at: _timestamp_pb2.Timestamp
    step: int
    evidence: str
    decision_id: str
    policy_hash: str
    def __init__(self, model: _Optional[str] = ..., tenant: _Optional[str] = ..., rollout_id: _Optional[str] = ..., seq: _Optional[int] = ..., epoch: _Optional[int] = ..., from_state: _Optional[str] = ..., to_state: _Optional[str] = ..., trigger: _Optional[str] = ..., version: _Optional[str] = ..., champion_version: _Optional[str] = ..., weight_ppm: _Optional[int] = ..., actor: _Optional[str] = ..., reason: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., step: _Optional[int] = ..., evidence: _Optional[str] = ..., decision_id: _Optional[str] = ..., policy_hash: _Optional[str] = ...) -> None: ...

class ApplySpecRequest(_message.Message):
    __slots__ = ("yaml", "recipe", "actor")
    YAML_FIELD_NUMBER: _ClassVar[int]
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    yaml: str
    recipe: str
    actor: str
    def __init__(self, yaml: _Optional[str] = ..., recipe: _Optional[str] = ..., actor: _Optional[str] = ...) -> None: ...

class ApplySpecResponse(_message.Message):
    __slots__ = ("spec", "changed")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    spec: ModelSpec
    changed: bool
    def __init__(self, spec: _Optional[_Union[ModelSpec, _Mapping]] = ..., changed: _Optional[bool] = ...) -> None: ...

class StartRolloutRequest(_message.Message):
    __slots__ = ("model", "version", "digest", "actor", "reason", "rivals")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RIVALS_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    digest: str
    actor: str
    reason: str
    rivals: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ..., actor: _Optional[str] = ..., reason: _Optional[str] = ..., rivals: _Optional[_Iterable[str]] = ...) -> None: ...

class RolloutCommand(_message.Message):
    __slots__ = ("model", "actor", "reason")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    model: str
    actor: str
    reason: str
    def __init__(self, model: _Optional[str] = ..., actor: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RolloutStatusRequest(_message.Message):
    __slots__ = ("model", "events")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    model: str
    events: int
    def __init__(self, model: _Optional[str] = ..., events: _Optional[int] = ...) -> None: ...

class RolloutStatus(_message.Message):
    __slots__ = ("spec", "routes", "state", "version", "explanation", "events", "promoted", "rolled_back", "rollouts", "step")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    PROMOTED_FIELD_NUMBER: _ClassVar[int]
    ROLLED_BACK_FIELD_NUMBER: _ClassVar[int]
    ROLLOUTS_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    spec: ModelSpec
    routes: RouteTable
    state: str
    version: str
    explanation: str
    events: _containers.RepeatedCompositeFieldContainer[RolloutEvent]
    promoted: int
    rolled_back: int
    rollouts: int
    step: RolloutStep
    def __init__(self, spec: _Optional[_Union[ModelSpec, _Mapping]] = ..., routes: _Optional[_Union[RouteTable, _Mapping]] = ..., state: _Optional[str] = ..., version: _Optional[str] = ..., explanation: _Optional[str] = ..., events: _Optional[_Iterable[_Union[RolloutEvent, _Mapping]]] = ..., promoted: _Optional[int] = ..., rolled_back: _Optional[int] = ..., rollouts: _Optional[int] = ..., step: _Optional[_Union[RolloutStep, _Mapping]] = ...) -> None: ...

class RolloutStep(_message.Message):
    __slots__ = ("rollout_id", "index", "steps", "kind", "entered_at", "dwell_left_s", "deadline_left_s", "closed_by", "approval_role", "approved_by", "outcome", "findings")
    ROLLOUT_ID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ENTERED_AT_FIELD_NUMBER: _ClassVar[int]
    DWELL_LEFT_S_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_LEFT_S_FIELD_NUMBER: _ClassVar[int]
    CLOSED_BY_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_ROLE_FIELD_NUMBER: _ClassVar[int]
    APPROVED_BY_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    rollout_id: str
    index: int
    steps: int
    kind: str
    entered_at: _timestamp_pb2.Timestamp
    dwell_left_s: float
    deadline_left_s: float
    closed_by: str
    approval_role: str
    approved_by: str
    outcome: str
    findings: _containers.RepeatedCompositeFieldContainer[Finding]
    def __init__(self, rollout_id: _Optional[str] = ..., index: _Optional[int] = ..., steps: _Optional[int] = ..., kind: _Optional[str] = ..., entered_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., dwell_left_s: _Optional[float] = ..., deadline_left_s: _Optional[float] = ..., closed_by: _Optional[str] = ..., approval_role: _Optional[str] = ..., approved_by: _Optional[str] = ..., outcome: _Optional[str] = ..., findings: _Optional[_Iterable[_Union[Finding, _Mapping]]] = ...) -> None: ...

class Finding(_message.Message):
    __slots__ = ("name", "standing", "is_guardrail", "is_dry_run", "samples", "needed", "log_e_harm", "log_harm_limit", "log_e_proof", "log_proof_limit", "text")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STANDING_FIELD_NUMBER: _ClassVar[int]
    IS_GUARDRAIL_FIELD_NUMBER: _ClassVar[int]
    IS_DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    NEEDED_FIELD_NUMBER: _ClassVar[int]
    LOG_E_HARM_FIELD_NUMBER: _ClassVar[int]
    LOG_HARM_LIMIT_FIELD_NUMBER: _ClassVar[int]
    LOG_E_PROOF_FIELD_NUMBER: _ClassVar[int]
    LOG_PROOF_LIMIT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    name: str
    standing: str
    is_guardrail: bool
    is_dry_run: bool
    samples: int
    needed: int
    log_e_harm: float
    log_harm_limit: float
    log_e_proof: float
    log_proof_limit: float
    text: str
    def __init__(self, name: _Optional[str] = ..., standing: _Optional[str] = ..., is_guardrail: _Optional[bool] = ..., is_dry_run: _Optional[bool] = ..., samples: _Optional[int] = ..., needed: _Optional[int] = ..., log_e_harm: _Optional[float] = ..., log_harm_limit: _Optional[float] = ..., log_e_proof: _Optional[float] = ..., log_proof_limit: _Optional[float] = ..., text: _Optional[str] = ...) -> None: ...

class RolloutReportRequest(_message.Message):
    __slots__ = ("model", "rollout_id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    rollout_id: str
    def __init__(self, model: _Optional[str] = ..., rollout_id: _Optional[str] = ...) -> None: ...

class RolloutReport(_message.Message):
    __slots__ = ("model", "rollout_id", "version", "rivals", "champion_version", "state", "spec_revision", "yaml", "events", "points")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RIVALS_FIELD_NUMBER: _ClassVar[int]
    CHAMPION_VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SPEC_REVISION_FIELD_NUMBER: _ClassVar[int]
    YAML_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    model: str
    rollout_id: str
    version: str
    rivals: _containers.RepeatedScalarFieldContainer[str]
    champion_version: str
    state: str
    spec_revision: int
    yaml: str
    events: _containers.RepeatedCompositeFieldContainer[RolloutEvent]
    points: _containers.RepeatedCompositeFieldContainer[EvidencePoint]
    def __init__(self, model: _Optional[str] = ..., rollout_id: _Optional[str] = ..., version: _Optional[str] = ..., rivals: _Optional[_Iterable[str]] = ..., champion_version: _Optional[str] = ..., state: _Optional[str] = ..., spec_revision: _Optional[int] = ..., yaml: _Optional[str] = ..., events: _Optional[_Iterable[_Union[RolloutEvent, _Mapping]]] = ..., points: _Optional[_Iterable[_Union[EvidencePoint, _Mapping]]] = ...) -> None: ...

class EvidencePoint(_message.Message):
    __slots__ = ("at", "step", "weight_ppm", "findings")
    AT_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_PPM_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    step: int
    weight_ppm: int
    findings: _containers.RepeatedCompositeFieldContainer[Finding]
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., step: _Optional[int] = ..., weight_ppm: _Optional[int] = ..., findings: _Optional[_Iterable[_Union[Finding, _Mapping]]] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, models: _Optional[_Iterable[str]] = ...) -> None: ...
