"""The replicas that report, each believed for a few missed beats."""

from collections.abc import Iterator
from dataclasses import dataclass

from services.inference.domain.version import Version

LOADING, READY, FAILED, DRAINING = "LOADING", "READY", "FAILED", "DRAINING"


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What a replica has done since it started."""

    requests: int = 0
    rows: int = 0
    failures: int = 0
    compute_s: float = 0.0

    def since(self, earlier: "Use") -> "Use":
        """The difference to an earlier count of the same replica."""
        return Use(
            requests=max(0, self.requests - earlier.requests),
            rows=max(0, self.rows - earlier.rows),
            failures=max(0, self.failures - earlier.failures),
            compute_s=max(0.0, self.compute_s - earlier.compute_s),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One heartbeat."""

    version: Version
    replica_id: str
    state: str
    message: str = ""
    target: str = ""
    use: Use = Use()


class Replicas:
    """The last report of each replica."""

    def __init__(self, *, expire_after_s: float) -> None:
        self._expire_after_s = expire_after_s
        self._grace_s = 3 * expire_after_s
        self._last: dict[str, tuple[float, Report]] = {}

    def report(self, report: Report, now_s: float) -> Use:
        """Take a heartbeat; returns what was done since the replica's last one.

        A replica that is first seen here may have been counted by an earlier life of this process,
        so its past is not counted again.
        """
        known = self._last.get(report.replica_id)
        self._last[report.replica_id] = (now_s, report)
        return report.use.since(known[1].use if known else report.use)

    def expire(self, now_s: float) -> list[Report]:
        """Forget who has missed too many beats; returns them.

        The last ready replica of a version is given longer: on a machine out of breath it may still
        answer, and a directory without it helps nobody.
        """
        heard = {
            r.version for at, r in self._last.values() if r.state == READY and not self._is_late(at, now_s)
        }
        silent = [
            r
            for at, r in self._last.values()
            if self._is_late(at, now_s) and (r.version in heard or self._is_late(at + self._grace_s, now_s))
        ]
        for report in silent:
            del self._last[report.replica_id]
        return silent

    def _is_late(self, heard_s: float, now_s: float) -> bool:
        return now_s - heard_s > self._expire_after_s

    def forget(self, app_name: str) -> None:
        """Forget the replicas of an application that is being deleted."""
        self._last = {i: e for i, e in self._last.items() if e[1].version.app_name != app_name}

    def targets(self, version: Version) -> tuple[str, ...]:
        """Where the version's ready replicas listen."""
        return tuple(sorted({r.target for r in self._of(version) if r.state == READY}))

    def message(self, version: Version, state: str) -> str:
        """What the version's replicas of one state say, the first one that says something."""
        return next((r.message for r in self._of(version) if r.state == state and r.message), "")

    def has_failed(self, version: Version) -> bool:
        """Whether a replica says that it cannot serve, and none can."""
        states = {r.state for r in self._of(version)}
        return FAILED in states and READY not in states

    def count_ready(self) -> int:
        """Ready replicas of all versions."""
        return sum(r.state == READY for _, r in self._last.values())

    def _of(self, version: Version) -> Iterator[Report]:
        return (r for _, r in self._last.values() if r.version == version)
