"""Cedar files to the rules in force: parsed, checked against the schema, each with its place."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import cedarpy

from slipway.errors import InvalidInput
from slipway.watched_files import Files, digest_of

FOLDER: Final = "policies"
CEDAR: Final = ".cedar"
CASES: Final = ".cases.yaml"
BUILTIN: Final = "builtin.cedar"
_HERE: Final = Path(__file__).parent
_SCHEMA: Final = "schema.cedarschema"
_LONGEST_PROBLEM: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One policy.

    Attributes:
        file: Where it stands.
        line: Its first line there.
        label: Its annotation @id; empty where it has none.
        effect: permit or forbid.
        text: As it was written.
    """

    file: str
    line: int
    label: str
    effect: str
    text: str

    def __str__(self) -> str:
        place = f"{self.file} line {self.line}"
        return f"{self.label} ({place})" if self.label else place


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All policies that are in force together.

    Attributes:
        engine_set: Parsed, for Cedar.
        by_id: Each policy by the id that Cedar gives it.
        policy_hash: SHA-256 over the schema and all files, hex.
    """

    engine_set: cedarpy.PolicySet
    by_id: dict[str, Rule]
    policy_hash: str


@cache
def schema() -> cedarpy.Schema:
    """What policies may speak of."""
    return cedarpy.Schema.from_str(schema_text())


@cache
def schema_text() -> str:
    """The schema as it is written."""
    return (_HERE / _SCHEMA).read_text()


@cache
def builtin_text() -> str:
    """The policies that are always in force, as they are written."""
    return (_HERE / BUILTIN).read_text()


def read_rules(files: Files) -> Rules:
    """The built-in policies and those in `files`.

    Args:
        files: What lies in the folder of policies, by path; cases of tests are passed over.
    Raises:
        InvalidInput: Names file and line of every policy that may not be in force.
    """
    texts = {BUILTIN: builtin_text(), **dict(_texts(files))}
    rules, problems = [], []
    for file, text in texts.items():
        for line, chunk in split(text):
            label, effect, problem = _check(chunk)
            rules.append(Rule(file=file, line=line, label=label, effect=effect, text=chunk))
            if problem:
                problems.append(f"{file} line {line}: {problem}")
    if problems:
        raise InvalidInput("policies: " + "; ".join(problems))
    return Rules(
        engine_set=cedarpy.PolicySet.from_str("\n".join(rule.text for rule in rules)),
        by_id={f"policy{at}": rule for at, rule in enumerate(rules)},
        policy_hash=digest_of(
            {_SCHEMA: schema_text().encode()} | {file: text.encode() for file, text in texts.items()}
        ),
    )


def split(text: str) -> Iterator[tuple[int, str]]:
    """Each policy of a file with its first line; what is no policy comes as a piece of its own.

    In Cedar a semicolon ends a policy and stands nowhere else, but in texts and comments.
    """
    begin, line = 0, 1
    for end in (*_ends(text), len(text)):
        piece = text[begin:end]
        blank = _leading(piece)
        if piece[blank:]:
            yield line + piece.count("\n", 0, blank), piece[blank:]
        line += piece.count("\n")
        begin = end


def _texts(files: Files) -> Iterator[tuple[str, str]]:
    for path, content in sorted(files.items()):
        name = path.rpartition("/")[2]
        if name.startswith(".") or name.endswith((CASES, "~")):  # an editor's own, and tests
            continue
        if not name.endswith(CEDAR):
            raise InvalidInput(f"{path}: neither {CEDAR} nor {CASES}: it would be without effect")
        try:
            yield path, content.decode()
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{path}: not UTF-8: {error}") from error


def _check(chunk: str) -> tuple[str, str, str]:
    """A policy's label and effect, and what is wrong with it."""
    try:
        parsed = json.loads(cedarpy.policies_to_json_str(chunk))
    except ValueError as error:
        return "", "", _short(str(error))
    if parsed["templates"]:
        return "", "", "a template (?principal, ?resource) is without effect: name who and what is meant"
    (policy,) = parsed["staticPolicies"].values()
    label = str((policy.get("annotations") or {}).get("id") or "")
    errors = cedarpy.validate_policies(chunk, schema()).errors
    return (
        label,
        str(policy["effect"]),
        _short("; ".join(e.error.removeprefix("for policy `policy0`, ") for e in errors)),
    )


def _short(problem: str) -> str:
    return " ".join(problem.split())[:_LONGEST_PROBLEM]


def _ends(text: str) -> Iterator[int]:
    """Where each policy ends."""
    at = 0
    while at < len(text):
        if text.startswith("//", at):
            at = _after(text, "\n", at)
        elif text[at] == '"':
            at = _after_text(text, at + 1)
        else:
            at += 1
            if text[at - 1] == ";":
                yield at


def _leading(piece: str) -> int:
    """How much blank and comment comes before a policy."""
    at = 0
    while at < len(piece):
        if piece[at].isspace():
            at += 1
        elif piece.startswith("//", at):
            at = _after(piece, "\n", at)
        else:
            break
    return at


def _after(text: str, mark: str, at: int) -> int:
    found = text.find(mark, at)
    return len(text) if found < 0 else found + len(mark)


def _after_text(text: str, at: int) -> int:
    """The place behind the closing quote of a text that began before `at`."""
    while at < len(text) and text[at] != '"':
        at += 2 if text[at] == "\\" else 1
    return at + 1
