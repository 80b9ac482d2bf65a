"""The life of each deployed version, and what must be done next.

A version is deployed when an arm names it, and deleted when no arm has named it for `drain_s`:
gateways move first, capacity follows. What cannot be loaded is taken down and tried again after a
delay that doubles. Only so many load at once: each is a process that starts on the same cores.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from services.inference.domain.replicas import DRAINING, FAILED, LOADING, READY, Replicas
from services.inference.domain.version import APP_PREFIX, Version

_MAX_DOUBLINGS: Final = 20
_HOLD_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How long what is given."""

    drain_s: float
    load_deadline_s: float
    retry_first_s: float
    retry_limit_s: float
    max_loading: int


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A Ray Serve application as the cluster sees it."""

    is_failed: bool = False
    is_deleting: bool = False
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do now, and what has just become of earlier deeds."""

    deploy: tuple[Version, ...] = ()
    delete: tuple[str, ...] = ()
    failed: tuple[tuple[Version, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionState:
    """A version as the directory shows it."""

    version: Version
    state: str
    message: str = ""
    targets: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Life:
    replicas: int
    waiting_since_s: float
    absent_since_s: float | None = None
    is_complete: bool = False
    is_deployed_here: bool = False
    note: str = ""
    failure: str = ""
    attempts: int = 0
    retry_at_s: float = 0.0


@dataclass(slots=True)
class Fleet:
    """All versions that are wanted, or were a moment ago."""

    policy: Policy
    _lives: dict[Version, _Life] = field(default_factory=dict)
    _strangers: dict[str, float] = field(default_factory=dict)

    def want(self, wanted: Mapping[Version, int], now_s: float) -> None:
        """Say which versions must run, each with how many replicas."""
        for version, replicas in wanted.items():
            life = self._lives.setdefault(version, _Life(replicas=replicas, waiting_since_s=now_s))
            life.absent_since_s = None
        for version, life in self._lives.items():
            if version not in wanted and life.absent_since_s is None:
                life.absent_since_s = now_s

    def notice(self, replicas: Replicas, now_s: float) -> dict[Version, float]:
        """Follow who is ready; returns the versions deployed here that just became so, and after how long."""
        born: dict[Version, float] = {}
        for version, life in self._lives.items():
            ready = len(replicas.targets(version))
            if life.is_complete and not ready:
                life.is_complete, life.waiting_since_s = False, now_s
            elif not life.is_complete and ready >= life.replicas:
                life.is_complete, life.failure, life.attempts = True, "", 0
                if life.is_deployed_here:
                    born[version] = now_s - life.waiting_since_s
                    life.is_deployed_here = False
        return born

    def plan(self, apps: Mapping[str, App], replicas: Replicas, *, now_s: float) -> Plan:
        """What to do, given the applications that exist."""
        delete = self._overdue_strangers(apps, now_s)
        failed: list[tuple[Version, str]] = []
        absent: list[Version] = []
        loading = 0
        for version, life in list(self._lives.items()):
            app = apps.get(version.app_name)
            if life.absent_since_s is not None:
                if self._may_leave(version, life, app=app, now_s=now_s):
                    delete.append(version.app_name)
                continue
            problem = self._problem(version, life, app=app, replicas=replicas, now_s=now_s)
            if problem:
                failed.append((version, problem))
                self.fail(version, problem, now_s=now_s)
            if app is None and now_s >= life.retry_at_s:
                absent.append(version)
            elif app is not None and life.failure and not app.is_deleting:
                delete.append(version.app_name)
            loading += app is not None and not life.is_complete
        room = max(0, self.policy.max_loading - loading)
        return Plan(deploy=tuple(absent[:room]), delete=tuple(delete), failed=tuple(failed))

    def asked(self, version: Version, now_s: float) -> None:
        """The version's application has been asked for."""
        life = self._lives[version]
        life.failure, life.note, life.waiting_since_s, life.is_deployed_here = "", "", now_s, True

    def hold(self, version: Version, note: str, *, now_s: float) -> None:
        """The version cannot be deployed right now, for this reason; others go first for a while."""
        life = self._lives[version]
        life.note, life.retry_at_s = note, now_s + _HOLD_S

    def fail(self, version: Version, problem: str, *, now_s: float) -> None:
        """The version cannot be loaded: try again after a delay that doubles."""
        life = self._lives[version]
        delay_s = min(self.policy.retry_first_s * 2**life.attempts, self.policy.retry_limit_s)
        life.failure, life.retry_at_s = problem, now_s + delay_s
        life.attempts = min(life.attempts + 1, _MAX_DOUBLINGS)
        life.is_complete = life.is_deployed_here = False

    def states(self, replicas: Replicas) -> tuple[VersionState, ...]:
        """Every known version with its state, in order."""
        return tuple(
            self._state(version, life, replicas)
            for version, life in sorted(self._lives.items(), key=_by_version)
        )

    def _state(self, version: Version, life: _Life, replicas: Replicas) -> VersionState:
        targets = replicas.targets(version)
        if life.absent_since_s is not None:
            return VersionState(version=version, state=DRAINING, targets=targets)
        if life.is_complete:
            return VersionState(version=version, state=READY, targets=targets)
        if life.failure:
            return VersionState(version=version, state=FAILED, message=life.failure, targets=targets)
        message = replicas.message(version, LOADING) or life.note
        return VersionState(version=version, state=LOADING, message=message, targets=targets)

    def _may_leave(self, version: Version, life: _Life, *, app: App | None, now_s: float) -> bool:
        """Whether a version that nobody names must be deleted now; forgets it once it is gone."""
        if life.absent_since_s is None or now_s - life.absent_since_s < self.policy.drain_s:
            return False
        if app is None:
            del self._lives[version]
            return False
        return not app.is_deleting

    def _problem(
        self, version: Version, life: _Life, *, app: App | None, replicas: Replicas, now_s: float
    ) -> str:
        """Why a version will not become ready; empty while it may."""
        if app is None or app.is_deleting or life.failure or replicas.targets(version):
            return ""
        if replicas.has_failed(version):
            return replicas.message(version, FAILED) or "a replica failed without saying why"
        if app.is_failed:
            return f"Ray Serve gave up on it: {app.message}"
        if now_s - life.waiting_since_s > self.policy.load_deadline_s:
            waits = replicas.message(version, LOADING) or app.message or "Ray Serve says nothing"
            return f"no replica was ready within {self.policy.load_deadline_s:g} s: {waits}"
        return ""

    def _overdue_strangers(self, apps: Mapping[str, App], now_s: float) -> list[str]:
        """Applications of an earlier life of this process that no arm names, after the same delay."""
        known = {version.app_name for version in self._lives}
        strangers = {
            name for name, app in apps.items() if name.startswith(APP_PREFIX) and not app.is_deleting
        } - known
        self._strangers = {name: self._strangers.get(name, now_s) for name in strangers}
        return sorted(n for n, since in self._strangers.items() if now_s - since >= self.policy.drain_s)


def _by_version(entry: tuple[Version, _Life]) -> Version:
    return entry[0]
