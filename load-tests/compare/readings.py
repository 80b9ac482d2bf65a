"""What the drivers' outputs say: good answers a second, and how long they took."""

import csv
import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from servers import CannotRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one load of one target gave.

    Attributes:
        rate_per_s: Good answers.
        cpu_ms: Processor time of the target's processes for each good answer.
        driver_cpu_ms: That of the driver, which runs on the same machine.
    """

    rate_per_s: float
    p50_ms: float
    p99_ms: float
    answers: int
    errors: int
    cpu_ms: float = 0.0
    driver_cpu_ms: float = 0.0


def read_ghz(text: str) -> Figures:
    """Figures of ghz's JSON.

    Raises:
        CannotRun: Nothing was answered well.
    """
    report: dict[str, Any] = json.loads(text)
    details = report["details"] or []
    good = [call["latency"] / 1e6 for call in details if call["status"] == "OK"]
    return _figures(good, total=report["count"], seconds=report["total"] / 1e9)


def read_hey(text: str, *, seconds: float) -> Figures:
    """Figures of hey's CSV; it leaves out calls that got no answer at all.

    Raises:
        CannotRun: Nothing was answered well.
    """
    rows = list(csv.DictReader(io.StringIO(text)))
    good = [float(row["response-time"]) * 1000 for row in rows if row["status-code"] == "200"]
    return _figures(good, total=len(rows), seconds=seconds)


def read_vegeta(text: str) -> Figures:
    """Figures of vegeta's CSV, whose first columns are start in ns, status and latency in ns.

    Raises:
        CannotRun: Nothing was answered well.
    """
    rows = [(int(row[0]), row[1], int(row[2])) for row in csv.reader(io.StringIO(text))]
    if not rows:
        raise CannotRun("not one call was made")
    span_ns = max(at + took for at, _, took in rows) - min(at for at, _, _ in rows)
    good = [took / 1e6 for _, status, took in rows if status == "200"]
    return _figures(good, total=len(rows), seconds=span_ns / 1e9)


def _figures(good_ms: list[float], *, total: int, seconds: float) -> Figures:
    if not good_ms:
        raise CannotRun(f"not one good answer to {total} calls")
    p50_ms, p99_ms = np.percentile(good_ms, (50, 99))
    return Figures(
        rate_per_s=len(good_ms) / seconds,
        p50_ms=float(p50_ms),
        p99_ms=float(p99_ms),
        answers=len(good_ms),
        errors=total - len(good_ms),
    )
