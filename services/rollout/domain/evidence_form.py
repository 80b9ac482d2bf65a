"""Evidence as plain values and back, for a jsonb column: equal states give equal values, and the reverse.

The units stay apart: their blocks are saved by themselves, and only those that changed.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from services.rollout.domain.betting import Bets
from services.rollout.domain.effect import Effect
from services.rollout.domain.evidence_table import EvidenceTable
from services.rollout.domain.moments import Moments
from services.rollout.domain.pairs import Pairs
from services.rollout.domain.rule_evidence import RuleEvidence
from services.rollout.domain.unit_cap import UnitCap


def to_plain(table: EvidenceTable) -> list[dict[str, Any]]:
    """The table as values that JSON has; its numbers are exact doubles."""
    return [{"name": name, **_row(state)} for name, state in table.rows]


def from_plain(plain: list[dict[str, Any]]) -> EvidenceTable:
    """The table that `to_plain` took apart, with units but without their blocks."""
    return EvidenceTable(rows=tuple((row["name"], _state(row)) for row in plain))


def caps_of(table: EvidenceTable) -> Iterator[tuple[str, UnitCap]]:
    """Every filter of the table under a name of its own."""
    for name, state in table.rows:
        yield f"seen/{name}", state.seen_units
        yield f"bad/{name}", state.bad_units


def with_caps(table: EvidenceTable, caps: dict[str, UnitCap]) -> EvidenceTable:
    """The table with these filters in place of its own."""
    rows = tuple(
        (name, replace(state, seen_units=caps[f"seen/{name}"], bad_units=caps[f"bad/{name}"]))
        for name, state in table.rows
    )
    return EvidenceTable(rows=rows)


def effect_to_plain(effect: Effect) -> dict[str, Any]:
    """An effect as values that JSON has."""
    return {
        "canary": moments_to_plain(effect.canary),
        "champion": moments_to_plain(effect.champion),
        "contrasts": moments_to_plain(effect.contrasts),
        "harm": effect.harm.log_wealth,
        "proof": effect.proof.log_wealth,
    }


def effect_from_plain(plain: dict[str, Any]) -> Effect:
    """The effect that `effect_to_plain` took apart."""
    return Effect(
        canary=moments_from_plain(plain["canary"]),
        champion=moments_from_plain(plain["champion"]),
        contrasts=moments_from_plain(plain["contrasts"]),
        harm=Bets(log_wealth=tuple(plain["harm"])),
        proof=Bets(log_wealth=tuple(plain["proof"])),
    )


def moments_to_plain(moments: Moments) -> list[float]:
    """Moments as values that JSON has."""
    return [moments.count, moments.mean, moments.squares]


def moments_from_plain(plain: list[float]) -> Moments:
    """The moments that `moments_to_plain` took apart."""
    count, mean, squares = plain
    return Moments(count=int(count), mean=mean, squares=squares)


def cap_to_plain(cap: UnitCap) -> list[int]:
    """The counts of a filter."""
    return [cap.units, cap.dropped]


def cap_from_plain(plain: list[int]) -> UnitCap:
    """A filter with its counts, without its blocks."""
    units, dropped = plain
    return UnitCap(units=units, dropped=dropped)


def _row(state: RuleEvidence) -> dict[str, Any]:
    pairs = state.pairs
    return {
        "log_ratios": state.log_ratios,
        "effect": effect_to_plain(state.effect),
        "pairs": [pairs.wins, pairs.ties, pairs.losses],
        "seen_units": cap_to_plain(state.seen_units),
        "bad_units": cap_to_plain(state.bad_units),
    }


def _state(row: dict[str, Any]) -> RuleEvidence:
    wins, ties, losses = row["pairs"]
    return RuleEvidence(
        log_ratios=tuple(row["log_ratios"]),
        effect=effect_from_plain(row["effect"]),
        pairs=Pairs(wins=wins, ties=ties, losses=losses),
        seen_units=cap_from_plain(row["seen_units"]),
        bad_units=cap_from_plain(row["bad_units"]),
    )
