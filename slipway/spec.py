"""The model spec: one YAML file in which an owner declares a model, validated as a whole.

An unknown key, a missing one or a wrong value is an error that names line and key.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError

from slipway.errors import InvalidInput
from slipway.spec_rollout import rollout_inconsistencies
from slipway.spec_sections import (
    Defence,
    Drift,
    Feature,
    Label,
    Name,
    Retraining,
    Rollout,
    Section,
    Serving,
    Slo,
)
from slipway.yaml_source import Path, YamlSource


class Spec(Section):
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
    defence: Defence = Defence()

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
    yield from _serving_inconsistencies(spec)
    yield from rollout_inconsistencies(spec.rollout, features=spec.features, is_classifier=spec.is_classifier)
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


def _serving_inconsistencies(spec: Spec) -> Iterator[tuple[Path, str]]:
    yield from _fallback_inconsistencies(spec)
    if spec.serving.recording != "standard" and spec.serving.when_records_full == "count":
        what = f"with `recording: {spec.serving.recording}` no answer is given before its record is safe"
        yield ("serving", "when_records_full"), what


def _fallback_inconsistencies(spec: Spec) -> Iterator[tuple[Path, str]]:
    serving, answer = spec.serving, spec.serving.default_answer
    for index in _repeated(serving.fallback):
        yield ("serving", "fallback", index), f"{serving.fallback[index]!r} is listed twice"
    if "default" in serving.fallback and answer is None:
        yield ("serving", "fallback"), "`default` needs `default_answer`"
    if "cached_answer" in serving.fallback and not serving.cache_ttl_s:
        yield ("serving", "fallback"), "`cached_answer` needs `cache_ttl_s`: without it no answer is kept"
    if answer is not None and spec.is_classifier and answer not in spec.label.classes:
        yield ("serving", "default_answer"), f"{answer!r} is none of the classes"
    if answer is not None and not spec.is_classifier and isinstance(answer, str):
        yield ("serving", "default_answer"), f"{answer!r} is not a number"


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
