"""A YAML file as plain values that remember their lines; bounded, because its author is a stranger."""

import io
from collections.abc import Iterator, Sequence
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

from slipway.errors import InvalidInput

MAX_CHARACTERS: Final = 256 * 1024
MAX_DEPTH: Final = 20

Path = Sequence[str | int]


class YamlSource:
    """One parsed mapping."""

    def __init__(self, text: str) -> None:
        """Parse.

        Raises:
            InvalidInput: Not YAML, not a mapping, too large, too deep, or with aliases.
        """
        if len(text) > MAX_CHARACTERS:
            raise InvalidInput(f"{len(text)} characters; at most {MAX_CHARACTERS} are taken")
        try:
            _check_events(YAML(typ="rt").parse(io.StringIO(text)))
            tree = YAML(typ="rt").load(io.StringIO(text))
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            raise InvalidInput(f"line {line}: not YAML: {error.problem or error.context}") from error
        except (YAMLError, ValueError) as error:
            raise InvalidInput(f"not YAML: {error}") from error
        if not isinstance(tree, CommentedMap):
            raise InvalidInput("line 1: must be a mapping of keys to values")
        self._tree = tree

    def plain(self) -> dict[str, Any]:
        """Dictionaries with text keys, lists, and scalars of Python's own types."""
        plain: dict[str, Any] = _plain(self._tree)
        return plain

    def line_of(self, path: Path) -> int:
        """The line (from 1) of the deepest part of `path` that stands in the file."""
        node: Any = self._tree
        line = 1
        for part in path:
            key = _key(node, part)
            if key is None:
                break
            line = (node.lc.key(key) if isinstance(node, CommentedMap) else node.lc.item(key))[0] + 1
            node = node[key]
        return line


def _check_events(events: Iterator[Any]) -> None:
    """Refuse what could grow when it is read: a few aliases unfold to gigabytes."""
    depth = 0
    for event in events:
        if isinstance(event, AliasEvent):
            raise InvalidInput(
                f"line {event.start_mark.line + 1}: aliases are not taken; write the value out"
            )
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise InvalidInput(f"line {event.start_mark.line + 1}: nested deeper than {MAX_DEPTH} levels")


def _key(node: Any, part: str | int) -> Any:
    """The key or index that `part` means in a node; None where it does not stand there."""
    if isinstance(node, CommentedSeq):
        return part if isinstance(part, int) and part < len(node) else None
    if isinstance(node, CommentedMap):
        return next((key for key in node if str(key) == str(part)), None)
    return None


def _plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    # ruamel's scalars are subclasses; strict validation wants the plain types
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node
