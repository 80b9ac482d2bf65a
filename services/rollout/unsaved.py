"""What a model's evidence is beside its tally, and what of it the next transaction has to write."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from services.rollout.domain.finding import Finding
from services.rollout.domain.seen_ids import SeenIds

Key = tuple[str, int]
"""A prediction's id and the row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """One half of a pair.

    Attributes:
        kind: `answer`: of the shadow; `label`: it came before the answer.
        seq: Per model and kind; the oldest ones are given up when there are too many.
        said: The answer, or the label.
        is_champion_right: Known with the label.
    """

    kind: str
    key: Key
    seq: int
    said: str
    is_champion_right: bool = False
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A label or an outcome that waits until its request is as old as the horizon."""

    seq: int
    due_at_s: float
    learned: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The findings at one moment."""

    number: int
    at_s: float
    step: int
    weight_ppm: int
    findings: tuple[Finding, ...]


@dataclass(slots=True, kw_only=True)
class Unsaved:
    """Written in the same transaction as the tally, and forgotten when that has been.

    Attributes:
        taken: Halves that have become pairs.
        released: Numbers of held labels that were counted.
    """

    seen: SeenIds = field(default_factory=SeenIds)
    halves: list[Half] = field(default_factory=list)
    taken: list[tuple[str, Key]] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    released: list[int] = field(default_factory=list)

    def written(self) -> None:
        """Everything is in the database."""
        self.seen.saved()
        for kept in (self.halves, self.taken, self.held, self.released):
            kept.clear()

    def reset(self) -> None:
        """Another rollout begins: nothing was seen of it."""
        self.written()
        self.seen = SeenIds()

    def newest_of(self, kind: str) -> int:
        """The largest number among the new halves of a kind; 0 without one."""
        return max(_seqs(self.halves, kind), default=0)


def _seqs(halves: Iterable[Half], kind: str) -> Iterable[int]:
    return (half.seq for half in halves if half.kind == kind)
