"""Evidence as plain values and back, for a jsonb column: equal states give equal values, and the reverse."""

from base64 import b64decode, b64encode
from dataclasses import asdict
from typing import Any
from zlib import compress, decompress

from services.rollout.domain.betting import Bets
from services.rollout.domain.effect import Effect
from services.rollout.domain.evidence_table import EvidenceTable
from services.rollout.domain.moments import Moments
from services.rollout.domain.pairs import Pairs
from services.rollout.domain.rule_evidence import RuleEvidence
from services.rollout.domain.unit_cap import UnitCap


def to_plain(table: EvidenceTable) -> dict[str, Any]:
    """The table as values that JSON has; its numbers are exact doubles."""
    return {"rows": [{"name": name, **_row(state)} for name, state in table.rows]}


def from_plain(plain: dict[str, Any]) -> EvidenceTable:
    """The table that `to_plain` took apart."""
    return EvidenceTable(rows=tuple((row["name"], _state(row)) for row in plain["rows"]))


def _row(state: RuleEvidence) -> dict[str, Any]:
    return {
        **asdict(state),
        "seen_units": _cap(state.seen_units),
        "bad_units": _cap(state.bad_units),
    }


def _cap(cap: UnitCap) -> dict[str, Any]:
    # Mostly zeros while it is young.
    return {"bits": b64encode(compress(cap.bits)).decode(), "units": cap.units, "dropped": cap.dropped}


def _state(row: dict[str, Any]) -> RuleEvidence:
    return RuleEvidence(
        log_ratios=tuple(row["log_ratios"]),
        effect=Effect(
            canary=Moments(**row["effect"]["canary"]),
            champion=Moments(**row["effect"]["champion"]),
            contrasts=Moments(**row["effect"]["contrasts"]),
            harm=Bets(log_wealth=tuple(row["effect"]["harm"]["log_wealth"])),
            proof=Bets(log_wealth=tuple(row["effect"]["proof"]["log_wealth"])),
        ),
        pairs=Pairs(**row["pairs"]),
        seen_units=_units(row["seen_units"]),
        bad_units=_units(row["bad_units"]),
    )


def _units(plain: dict[str, Any]) -> UnitCap:
    return UnitCap(bits=decompress(b64decode(plain["bits"])), units=plain["units"], dropped=plain["dropped"])
