"""The model spec: one YAML file in which an owner declares a model, validated as a whole.

An unknown key, a missing one or a wrong value is an error that names line and key.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slipway.errors import InvalidInput
from slipway.yaml_source import Path, YamlSource

Share = Annotated[float, Field(ge=0, le=1)]
Rows = Annotated[int, Field(ge=0)]
Column = Annotated[str, Field(min_length=1, max_length=200)]
Window = Annotated[str, Field(pattern=r"^(all|since_drift|sliding(:[1-9][0-9]{0,8})?)$")]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Feature(_Section):
    """One input column."""

    name: Column
    type: Literal["numeric", "categorical"] = "numeric"
    range: tuple[float, float] | None = Field(default=None, strict=False)
    categories: tuple[str, ...] | None = Field(default=None, strict=False)
    nullable: bool = False
    data_class: Literal["public", "internal", "personal", "sensitive"] = "internal"


class Label(_Section):
    """What is predicted, and how late the truth arrives."""

    name: Column
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

    windows: tuple[Window, ...] = Field(default=("all", "since_drift", "sliding"), min_length=1, strict=False)
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

    @property
    def is_classifier(self) -> bool:
        """Whether answers are classes."""
        return self.task != "regression"

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Columns in order."""
        return tuple(f.name for f in self.features)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong in one place of a spec."""

    line: int
    key: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.key + ': ' if self.key else ''}{self.message}"


class SpecProblems(InvalidInput):
    """Everything that is wrong with a spec."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("model spec: " + "; ".join(str(p) for p in problems))
        self.problems = tuple(problems)


def parse(text: str) -> Spec:
    """Read a spec.

    Raises:
        InvalidInput: Every problem with its line and key (as SpecProblems where the file is YAML).
    """
    try:
        source = YamlSource(text)
    except InvalidInput as error:
        raise InvalidInput(f"model spec: {error}") from error
    try:
        spec = Spec.model_validate(source.plain())
    except ValidationError as error:
        raise SpecProblems([_problem(source, p["loc"], _what(dict(p))) for p in error.errors()]) from error
    if found := [_problem(source, path, what) for path, what in _inconsistencies(spec)]:
        raise SpecProblems(found)
    return spec


def _problem(source: YamlSource, path: Path, what: str) -> Problem:
    return Problem(source.line_of(path), ".".join(str(part) for part in path), what)


def _what(problem: dict[str, Any]) -> str:
    if problem["type"] == "extra_forbidden":
        known = _section_at(problem["loc"][:-1]).model_fields
        close = get_close_matches(str(problem["loc"][-1]), known, n=1)
        return "unknown key; " + (f"is it `{close[0]}`?" if close else f"known are {', '.join(known)}")
    if problem["type"] == "missing":
        return "this key is required"
    if problem["type"] == "string_type":
        return f"must be text; put {problem['input']!s:.40} in quotes"
    return f"{problem['msg']}, not {problem['input']!r:.60}"


def _section_at(path: Path) -> type[BaseModel]:
    """The section that a path leads to."""
    section: type[BaseModel] = Spec
    for part in path:
        if isinstance(part, str) and part in section.model_fields:
            annotation = section.model_fields[part].annotation
            kinds = (annotation, *get_args(annotation))
            section = next(k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel))
    return section


def _inconsistencies(spec: Spec) -> Iterator[tuple[Path, str]]:
    """What each key allows by itself, but not together with the others."""
    for at, feature in enumerate(spec.features):
        for key, what in _feature_inconsistencies(feature):
            yield ("features", at, key), what
    for index in _repeated(spec.feature_names):
        yield ("features", index, "name"), f"{spec.feature_names[index]!r} is listed twice"
    if spec.label.name in spec.feature_names:
        yield ("label", "name"), f"{spec.label.name!r} is also a feature"
    yield from _label_inconsistencies(spec)
    weights = [step.weight_percent for step in spec.rollout.steps]
    for at in range(1, len(weights)):
        if weights[at] <= weights[at - 1]:
            what = f"{weights[at]:g} does not grow on the step before ({weights[at - 1]:g})"
            yield ("rollout", "steps", at, "weight_percent"), what
    for index in _repeated(spec.retraining.windows):
        yield ("retraining", "windows", index), f"{spec.retraining.windows[index]!r} is listed twice"
    if spec.retraining.max_cool_down_rows < spec.retraining.cool_down_rows:
        what = f"is less than cool_down_rows ({spec.retraining.cool_down_rows})"
        yield ("retraining", "max_cool_down_rows"), what
    if spec.recipe is None and "automatic" in spec.retraining.model_fields_set and spec.retraining.automatic:
        yield ("retraining", "automatic"), "a model without a recipe cannot be retrained; add `recipe:`"


def _feature_inconsistencies(feature: Feature) -> Iterator[tuple[str, str]]:
    if feature.type == "categorical" and feature.range is not None:
        yield "range", "a categorical feature has `categories`, not a range"
    if feature.type == "numeric" and feature.categories is not None:
        yield "categories", "a numeric feature has a `range`, not categories; is `type: categorical` missing?"
    if feature.range is not None and feature.range[0] > feature.range[1]:
        yield "range", f"{feature.range[0]:g} is above {feature.range[1]:g}"
    if feature.categories is not None and not feature.categories:
        yield "categories", "is empty; leave the key out to take any"
    for index in _repeated(feature.categories or ()):
        yield "categories", f"{(feature.categories or ())[index]!r} is listed twice"


def _label_inconsistencies(spec: Spec) -> Iterator[tuple[Path, str]]:
    classes = spec.label.classes
    for index in _repeated(classes):
        yield ("label", "classes", index), f"{classes[index]!r} is listed twice"
    if spec.task == "binary" and len(classes) != 2:
        yield ("label", "classes"), f"a binary model has 2 classes, not {len(classes)}"
    if spec.task == "multiclass" and len(classes) < 2:
        yield ("label", "classes"), f"a multiclass model has 2 classes or more, not {len(classes)}"
    if spec.task == "regression" and classes:
        yield ("label", "classes"), "a regression model has no classes"


def _repeated(names: Iterable[str]) -> list[int]:
    """Where a name stands that stood there before."""
    listed = list(names)
    first = {name: index for index, name in reversed(list(enumerate(listed)))}
    return [index for index, name in enumerate(listed) if first[name] != index]
