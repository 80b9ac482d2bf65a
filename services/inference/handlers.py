"""What happens at each RPC and event: the state of the service, and whoever waits for its news."""

import asyncio
import hmac
import logging
from collections import Counter
from collections.abc import AsyncIterator
from typing import Final

from services.inference import metrics
from services.inference.domain.demand import Demand, Resources
from services.inference.domain.directory import Directory, updated
from services.inference.domain.fleet import Fleet, Plan, Policy, VersionState
from services.inference.domain.replicas import DRAINING, FAILED, LOADING, READY, Replicas, Report
from services.inference.domain.version import Version, replica_key
from slipway.clock import Clock
from slipway.errors import Overloaded, Unauthenticated, Unavailable
from slipway.pauses import pause

log = logging.getLogger(__name__)

UNKNOWN: Final = "UNKNOWN"
_MAX_WATCHERS: Final = 64
_BEATS: Final = 3.5  # missed beats after which a replica is no longer believed


class Inference:
    """All that the service knows. Touched by the event loop alone."""

    def __init__(self, policy: Policy, clock: Clock, *, report_s: float, operator_token: str) -> None:
        self.demand = Demand()
        self.fleet = Fleet(policy)
        self.replicas = Replicas(expire_after_s=_BEATS * report_s)
        self.report_s = report_s
        self.is_settled = False
        self.news = asyncio.Event()  # for the reconciler: there may be something to do
        self._clock = clock
        self._operator_token = operator_token
        self._directory = Directory(epoch=int(clock.now_s() * 1000))
        self._changed = asyncio.Event()
        self._is_closed = False
        self._watchers = 0

    def set_arms(self, model: str, arms: frozenset[Version], *, epoch: int) -> None:
        """A route table was written."""
        if self.demand.set_arms(model, arms, epoch=epoch):
            self._want()

    def set_resources(self, model: str, resources: Resources, *, revision: int) -> None:
        """A model spec was applied."""
        if self.demand.set_resources(model, resources, revision=revision):
            self._want()

    def report(self, report: Report) -> None:
        """A replica has sent a heartbeat."""
        done = self.replicas.report(report, self._clock.monotonic_s())
        model = report.version.model
        metrics.REQUESTS.labels(model).inc(done.requests)
        metrics.ROWS.labels(model).inc(done.rows)
        metrics.REQUEST_FAILURES.labels(model).inc(done.failures)
        metrics.COMPUTE_SECONDS.labels(model).inc(done.compute_s)
        if report.state == FAILED:
            self.news.set()
        self.refresh()

    def check_key(self, version: Version, given: str) -> None:
        """Let only a replica of this version pass.

        Raises:
            Unauthenticated: Its key is not that of the version.
        """
        expected = f"Bearer {replica_key(self._operator_token, version)}"
        if not hmac.compare_digest(given.encode(), expected.encode()):
            raise Unauthenticated(f"not a replica of {version.model} version {version.version}")

    def get_version(self, model: str, version: str) -> VersionState:
        """The state of one version.

        Raises:
            Unavailable: The service has just started and has not heard its replicas yet.
        """
        self._check_settled()
        unknown = VersionState(version=Version(model=model, version=version, digest=""), state=UNKNOWN)
        return self._directory.find(model, version) or unknown

    async def watch(self) -> AsyncIterator[Directory]:
        """The directory now, and again after each change.

        Waits at first until the replicas of an earlier life of this process have had time to report:
        an empty directory would take every version away from the gateways.

        Raises:
            Overloaded: Too many watch already.
        """
        if self._watchers >= _MAX_WATCHERS:
            raise Overloaded(f"{_MAX_WATCHERS} streams of the directory are open; close some")
        self._watchers += 1
        metrics.WATCHERS.set(self._watchers)
        try:
            told = -1
            while not self._is_closed:
                changed = self._changed
                if self.is_settled and self._directory.epoch != told:
                    told = self._directory.epoch
                    yield self._directory
                else:
                    await changed.wait()
        finally:
            self._watchers -= 1
            metrics.WATCHERS.set(self._watchers)

    async def settle(self, stop: asyncio.Event) -> None:
        """Wait until replicas have had the time to report, then watch over their silence."""
        end_s = self._clock.monotonic_s() + 2.5 * self.report_s
        while not stop.is_set():
            if not self.is_settled and self._clock.monotonic_s() >= end_s:
                self.is_settled = True
                self._announce()
            self.expire()
            await pause(stop, self.report_s / 4)
        self.close()

    def expire(self) -> None:
        """Drop who has fallen silent."""
        for report in self.replicas.expire(self._clock.monotonic_s()):
            if report.state == READY:
                log.warning(
                    "a replica fell silent", extra=_fields(report.version) | {"target": report.target}
                )
                metrics.EXPIRED.labels(report.version.model).inc()
        self.refresh()

    def close(self) -> None:
        """End all watches: the process is stopping."""
        self._is_closed = True
        self._announce()

    def follow(self, plan: Plan) -> None:
        """Take note of a plan that is about to be carried out."""
        for version, problem in plan.failed:
            self._note_failure(version, problem)
        for name in plan.delete:
            self.replicas.forget(name)
        self.refresh()

    def asked(self, versions: list[Version]) -> None:
        """Applications have been asked for."""
        for version in versions:
            self.fleet.asked(version, self._clock.monotonic_s())
        self.refresh()

    def hold(self, version: Version, note: str) -> None:
        """A version cannot be deployed right now."""
        log.warning("a version waits", extra=_fields(version) | {"reason": note})
        self.fleet.hold(version, note, now_s=self._clock.monotonic_s())
        self.refresh()

    def fail(self, version: Version, problem: str) -> None:
        """A version cannot be loaded."""
        self._note_failure(version, problem)
        self.fleet.fail(version, problem, now_s=self._clock.monotonic_s())
        self.refresh()

    def refresh(self) -> None:
        """Bring directory and metrics up to date."""
        now_s = self._clock.monotonic_s()
        for version, seconds in self.fleet.notice(self.replicas, now_s).items():
            metrics.DEPLOY_SECONDS.observe(seconds)
            log.info("version ready", extra=_fields(version) | {"seconds": round(seconds, 2)})
        before = self._directory
        self._directory = updated(before, self.fleet.states(self.replicas), now_s=self._clock.now_s())
        if self._directory is not before:
            self._announce()

    def _want(self) -> None:
        wanted = {version: resources.replicas for version, resources in self.demand.wanted().items()}
        self.fleet.want(wanted, self._clock.monotonic_s())
        self.news.set()
        self.refresh()

    def _note_failure(self, version: Version, problem: str) -> None:
        log.error("a version cannot be loaded", extra=_fields(version) | {"reason": problem})
        metrics.FAILURES.labels(version.model).inc()

    def _announce(self) -> None:
        states = Counter(s.state for s in self._directory.versions)
        for state in (LOADING, READY, FAILED, DRAINING):
            metrics.VERSIONS.labels(state).set(states[state])
        metrics.REPLICAS_READY.set(self.replicas.count_ready())
        metrics.DIRECTORY_EPOCH.set(self._directory.epoch)
        self._changed.set()
        self._changed = asyncio.Event()

    def _check_settled(self) -> None:
        if not self.is_settled:
            raise Unavailable("the inference service has just started; ask again in a few seconds")


def _fields(version: Version) -> dict[str, str]:
    return {"model": version.model, "version": version.version, "digest": version.digest}
