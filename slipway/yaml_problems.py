"""What is wrong in a YAML file that people wrote, with the line and the key of each thing."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from slipway.errors import InvalidInput
from slipway.yaml_source import Path, YamlSource

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong in one place of a file."""

    line: int
    key: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.key + ': ' if self.key else ''}{self.message}"


class YamlProblems(InvalidInput):
    """Everything that is wrong with a file."""

    def __init__(self, what: str, problems: Sequence[Problem]) -> None:
        super().__init__(f"{what}: " + "; ".join(str(p) for p in problems))
        self.problems = tuple(problems)


def problem_at(source: YamlSource, path: Path, what: str) -> Problem:
    """A problem with the line that its path leads to."""
    return Problem(source.line_of(path), ".".join(str(part) for part in path), what)


def problems_of(error: ValidationError, source: YamlSource, root: type[BaseModel]) -> list[Problem]:
    """What pydantic found, in words for the author."""
    return [problem_at(source, p["loc"], _what(dict(p), root)) for p in error.errors()]


def read_sections(text: str, root: type[M], *, what: str) -> tuple[M, YamlSource]:
    """Validate a whole file.

    Args:
        text: The file.
        root: Its outermost section.
        what: How messages name the file.
    Raises:
        InvalidInput: Every problem with its line and key (as YamlProblems where the file is YAML).
    """
    try:
        source = YamlSource(text)
    except InvalidInput as error:
        raise InvalidInput(f"{what}: {error}") from error
    try:
        return root.model_validate(source.plain()), source
    except ValidationError as error:
        raise YamlProblems(what, problems_of(error, source, root)) from error


def _what(problem: dict[str, Any], root: type[BaseModel]) -> str:
    if problem["type"] == "extra_forbidden":
        known = _section_at(problem["loc"][:-1], root).model_fields
        close = get_close_matches(str(problem["loc"][-1]), known, n=1)
        return "unknown key; " + (f"is it `{close[0]}`?" if close else f"known are {', '.join(known)}")
    if problem["type"] == "missing":
        return "this key is required"
    if problem["type"] == "string_type":
        return f"must be text; put {problem['input']!s:.40} in quotes"
    return f"{problem['msg']}, not {problem['input']!r:.60}"


def _section_at(path: Path, root: type[BaseModel]) -> type[BaseModel]:
    """The section that a path leads to."""
    section = root
    for part in path:
        if isinstance(part, str) and part in section.model_fields:
            annotation = section.model_fields[part].annotation
            kinds = (annotation, *get_args(annotation))
            # A mapping's own key may be named like a field that is no section.
            section = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), section)
    return section
