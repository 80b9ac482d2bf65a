"""The model spec: one YAML file in which an owner declares a model, validated as a whole.

An unknown key, a missing one or a wrong value is an error that names line and key.
"""

import io
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from slipway.errors import InvalidInput

Share = Annotated[float, Field(ge=0, le=1)]
Rows = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Feature(_Section):
    """One input column."""

    name: str
    type: Literal["numeric", "categorical"] = "numeric"
    range: tuple[float, float] | None = Field(default=None, strict=False)
    categories: tuple[str, ...] | None = Field(default=None, strict=False)
    nullable: bool = False
    data_class: Literal["public", "internal", "personal", "sensitive"] = "internal"


class Label(_Section):
    """What is predicted, and how late the truth arrives."""

    name: str
    classes: tuple[str, ...] = Field(default=(), strict=False)
    horizon_rows: Rows = 0
    expire_after_s: Annotated[float, Field(gt=0)] = 30 * 24 * 3600.0
    accept_is_label: bool = False


class Serving(_Section):
    """How a version is run."""

    replicas: Annotated[int, Field(ge=1, le=64)] = 1
    cpus_per_replica: Annotated[float, Field(gt=0, strict=False)] = 0.1
    timeout_ms: Annotated[int, Field(ge=1)] = 2000
    max_batch_rows: Annotated[int, Field(ge=1)] = 256
    max_queued_rows: Annotated[int, Field(ge=1)] = 4096
    refuse_out_of_range: bool = False


class Step(_Section):
    """One canary step: a share of the units until enough rows were served by both arms together."""

    weight_percent: Annotated[float, Field(gt=0, le=100, strict=False)]
    min_rows: Rows = 60


class Rollout(_Section):
    """A version's way to users."""

    steps: tuple[Step, ...] = Field(
        default=(Step(weight_percent=5, min_rows=60), Step(weight_percent=25, min_rows=60)), strict=False
    )
    bake_rows: Rows = 80
    deadline_s: Annotated[float, Field(gt=0, strict=False)] = 3600.0
    warm_deadline_s: Annotated[float, Field(gt=0, strict=False)] = 120.0
    max_latency_ms: Annotated[float, Field(gt=0, strict=False)] = 1000.0
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05


class Drift(_Section):
    """What drift_detection watches, in rows."""

    block_rows: Annotated[int, Field(ge=1)] = 48
    window_rows: Annotated[int, Field(ge=10)] = 1344
    data_threshold: Share = 0.1
    prediction_threshold: Share = 0.1
    adwin_delta: Share = 0.002
    page_hinkley_delta: Share = 0.01  # error share a block may exceed the mean without being counted
    page_hinkley_threshold: Annotated[float, Field(gt=0, strict=False)] = 0.4
    page_hinkley_min_blocks: Annotated[int, Field(ge=2)] = 7
    performance_window_rows: Annotated[int, Field(ge=10)] = 336
    performance_drop: Share = 0.05
    quality_threshold: Share = 0.05  # missing or outside values beyond what the training data had


class Retraining(_Section):
    """When and on what a new version is trained."""

    windows: tuple[str, ...] = Field(default=("all", "since_drift", "sliding"), strict=False)
    sliding_rows: Annotated[int, Field(ge=10)] = 4032
    holdout_rows: Annotated[int, Field(ge=10)] = 336
    min_rows: Annotated[int, Field(ge=10)] = 672
    min_rows_per_class: Rows = 30
    margin: Annotated[float, Field(ge=-1, le=1)] = 0.0
    cool_down_rows: Rows = 336
    max_cool_down_rows: Rows = 2688
    max_staleness_rows: Rows = 1344
    secondary_rows: Rows = 336  # so long must two weaker signals last together
    drifted_features_share: Share = 0.5  # so many features must drift for data drift to count
    open_request_timeout_s: Annotated[float, Field(gt=0, strict=False)] = 3600.0
    keep_rows: Annotated[int, Field(ge=10)] = 200_000
    automatic: bool = True


class Slo(_Section):
    """Service level objectives."""

    availability: Share = 0.999
    latency_p99_ms: Annotated[float, Field(gt=0, strict=False)] = 250.0


class Spec(_Section):
    """A whole model spec."""

    name: Name
    task: Literal["binary", "multiclass", "regression"]
    description: str = ""
    owner: str = ""
    features: tuple[Feature, ...] = Field(min_length=1, strict=False)
    label: Label
    recipe: str | None = None
    serving: Serving = Serving()
    rollout: Rollout = Rollout()
    drift: Drift = Drift()
    retraining: Retraining = Retraining()
    slo: Slo = Slo()

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        names = [f.name for f in self.features]
        doubles = sorted({n for n in names if names.count(n) > 1})
        if doubles:
            raise ValueError(f"features: {', '.join(doubles)} is listed twice")
        if self.label.name in names:
            raise ValueError(f"label: {self.label.name} is also a feature")
        needed = {"binary": 2, "multiclass": 2, "regression": 0}[self.task]
        given = len(self.label.classes)
        if given < needed or (self.task == "binary" and given > 2) or (self.task == "regression" and given):
            raise ValueError(f"label: a {self.task} model with {given} classes")
        return self

    @property
    def is_classifier(self) -> bool:
        """Whether answers are classes."""
        return self.task != "regression"

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Columns in order."""
        return tuple(f.name for f in self.features)


def parse(text: str) -> Spec:
    """Read a spec.

    Raises:
        InvalidInput: Every problem with its line and key.
    """
    try:
        tree = YAML(typ="rt").load(io.StringIO(text))
    except YAMLError as error:
        raise InvalidInput(f"model spec is not YAML: {error}") from error
    if not isinstance(tree, CommentedMap):
        raise InvalidInput("model spec must be a mapping that starts with `name:`")
    try:
        return Spec.model_validate(_plain(tree))
    except ValidationError as error:
        lines = [_explain(tree, dict(problem)) for problem in error.errors()]
        raise InvalidInput("model spec: " + "; ".join(lines)) from error


def _plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {str(k): _plain(v) for k, v in node.items()}
    if isinstance(node, list):
        return [_plain(v) for v in node]
    return _scalar(node)


def _scalar(node: Any) -> Any:
    """ruamel's scalars are subclasses; strict validation wants the plain types."""
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def _explain(tree: CommentedMap, problem: dict[str, Any]) -> str:
    path = [p for p in problem["loc"] if not (isinstance(p, str) and p.startswith("function-"))]
    key = ".".join(str(p) for p in path)
    what = "unknown key" if problem["type"] == "extra_forbidden" else problem["msg"]
    return f"line {_line(tree, path)}: {key + ': ' if key else ''}{what}"


def _line(node: Any, path: list[Any]) -> int:
    """The line (from 1) of the deepest part of `path` that exists in the file."""
    line = node.lc.line + 1 if hasattr(node, "lc") else 1
    for part in path:
        if isinstance(node, CommentedMap) and part in node:
            line = node.lc.key(part)[0] + 1
        elif isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node):
            line = node.lc.item(part)[0] + 1
        else:
            break
        node = node[part]
    return int(line)
