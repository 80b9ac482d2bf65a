"""What a replay found: the JSON report and the table people read."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table

from slipway.replay.journal import Journal
from slipway.replay.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Share of right answers over the replayed rows."""

    closed_loop: float
    frozen: float
    last_label: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The figures of one replay. `latency` in milliseconds, `labels` by state."""

    model: str
    rows: int
    accuracy: Accuracy
    alarms: int
    trainings: int
    blessed: int
    rejected: int
    insufficient: int
    promoted: int
    rolled_back: int
    requests_failed: int
    failures: list[str]
    records_missing: int
    records_double: int
    labels: dict[str, int]
    seconds: float
    latency_p50_ms: float
    latency_p99_ms: float
    resident_memory_mib: int
    pace: str
    versions: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """The report as JSON-ready values."""
        return asdict(self)


def score(ledger: Ledger) -> Accuracy:
    """Accuracy of the loop and of its baselines on the rows sent so far."""
    return Accuracy(
        closed_loop=_mean(ledger, ledger.predicted),
        frozen=_mean(ledger, ledger.frozen),
        last_label=_mean(ledger, ledger.last_label()),
    )


def _mean(ledger: Ledger, answers: list[str]) -> float:
    hits = ledger.hits(answers)
    return round(float(hits.mean()), 4) if hits.size else 0.0


def latency_ms(ledger: Ledger, percent: float) -> float:
    """A percentile of the answers' latency."""
    return round(float(np.percentile(ledger.latency_s, percent)) * 1000, 2) if ledger.latency_s else 0.0


def version_history(journal: Journal) -> list[dict[str, Any]]:
    """When each version took all traffic, and why."""
    return [
        {"row": e.row, "version": e.version, "reason": e.text}
        for e in journal.entries
        if e.kind == "rollout" and e.state == "BAKE"
    ]


def table(report: Report) -> Table:
    """The report for the terminal."""
    it = Table(title=f"Replay of {report.model}", show_header=False, title_justify="left")
    accuracy = report.accuracy
    gain = accuracy.closed_loop - accuracy.frozen
    it.add_row("rows", f"{report.rows:,}")
    it.add_row(
        "accuracy, closed loop", f"[bold]{accuracy.closed_loop:.4f}[/bold]  ({gain:+.4f} against frozen)"
    )
    it.add_row("accuracy, first version frozen", f"{accuracy.frozen:.4f}")
    it.add_row("accuracy, last known label", f"{accuracy.last_label:.4f}")
    it.add_row("alarms", str(report.alarms))
    outcomes = f"{report.blessed} blessed, {report.rejected} rejected, {report.insufficient} insufficient"
    it.add_row("trainings", f"{report.trainings} ({outcomes})")
    it.add_row("rollouts", f"{report.promoted} promoted, {report.rolled_back} taken back")
    it.add_row("requests failed", str(report.requests_failed))
    it.add_row("records", f"{report.records_missing} missing, {report.records_double} double")
    it.add_row("labels", ", ".join(f"{n:,} {state}" for state, n in sorted(report.labels.items()) if n))
    it.add_row("latency", f"p50 {report.latency_p50_ms:.1f} ms, p99 {report.latency_p99_ms:.1f} ms")
    it.add_row("time", f"{report.seconds:.0f} s at pace {report.pace}")
    it.add_row("resident memory of the stack", f"{report.resident_memory_mib:,} MiB")
    return it
