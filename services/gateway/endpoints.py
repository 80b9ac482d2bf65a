"""What the gateway knows of the endpoints of one version: load, health, and the version's circuit."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import Gauge

from services.gateway import metrics
from services.gateway.channels import Channels
from services.gateway.domain import circuit, outliers
from services.gateway.domain.balancing import Load, PoolLatency, Rng, choose
from services.gateway.domain.circuit import Circuit, CircuitPolicy
from services.gateway.domain.hedging import HedgeBudget, RecentQuantile
from services.gateway.domain.outliers import OutlierPolicy, Outliers
from services.gateway.domain.routing import Arm
from slipway.errors import Unavailable

log = logging.getLogger(__name__)

# A time-out speaks against an endpoint only if it had this much more time than usual: else a caller
# with a deadline of a millisecond could have every endpoint ejected.
_FAIR_FACTOR: Final = 4.0
_FAIR_AT_LEAST_S: Final = 0.05
_FAIR_UNKNOWN_S: Final = 0.25
_HUNG_FACTOR: Final = 10.0  # after so many fair waits an endpoint hangs: as good as gone
_SLOWNESS_OF_A_FAILURE: Final = 5.0  # else an endpoint that fails fast would look idle and attract calls


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamPolicy:
    """When an endpoint is left out, and when a version is."""

    outliers: OutlierPolicy = field(default_factory=OutlierPolicy)
    circuit: CircuitPolicy = field(default_factory=CircuitPolicy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """The endpoint of one call."""

    target: str
    load: Load
    is_probe: bool = False


class Pool:
    """The endpoints of one version."""

    def __init__(self, model: str, arm: Arm, *, policy: UpstreamPolicy, channels: Channels, rng: Rng) -> None:
        self.model = model
        self.arm = arm
        version = self.version = arm.version
        self.circuit = Circuit(policy.circuit, self._note_circuit)
        self.latency = PoolLatency()
        self.slowness = RecentQuantile()
        self.hedges = HedgeBudget()
        self.retries = metrics.UPSTREAM_RETRIES.labels(model, version)
        self._refusals = metrics.CIRCUIT_REFUSALS.labels(model, version)
        self._empty_since_s: float | None = None
        self._outliers = Outliers(policy.outliers, self._note_endpoint)
        self._channels = channels
        self._rng = rng
        self._targets: tuple[str, ...] = ()
        self._picks: dict[str, Pick] = {}
        metrics.CIRCUIT_STATE.labels(model, version).set(self.circuit.state)

    @property
    def active_count(self) -> int:
        """Endpoints that take calls."""
        return len(self._outliers.active(self._targets))

    @property
    def has_endpoint(self) -> bool:
        """Whether any endpoint is listed."""
        return bool(self._targets)

    def is_alone(self, target: str) -> bool:
        """Whether no other endpoint is listed."""
        return set(self._targets) <= {target}

    def empty_since(self, now_s: float) -> float:
        """Since when no endpoint has been listed, as far as anybody asked."""
        if self._empty_since_s is None:
            self._empty_since_s = now_s
        return self._empty_since_s

    def sync(self, targets: tuple[str, ...], *, now_s: float) -> None:
        """Take the endpoints as the directory lists them now."""
        if targets == self._targets:
            return
        if self._targets and not set(targets) <= set(self._targets):
            self.circuit.retry_now(now_s)  # a new endpoint may do better
        for gone in set(self._targets) - set(targets):
            _forget(metrics.ENDPOINT_STATE, self.model, self.version, gone)
        self._targets = targets
        self._empty_since_s = None
        self._picks = {t: self._picks.get(t) or Pick(target=t, load=Load()) for t in targets}
        self._outliers.sync(targets)

    def pick(self, rows: int, *, now_s: float, failed: str | None) -> Pick:
        """The endpoint for a call; there must be one. One that failed the call already comes last."""
        if len(self._targets) == 1:
            return self._picks[self._targets[0]]
        probe = self._outliers.take_probe(now_s) if failed is None else None
        if probe is not None:
            return Pick(target=probe, load=self._picks[probe].load, is_probe=True)
        candidates = self._candidates(failed)
        loads = [self._picks[target].load for target in candidates]
        return self._picks[candidates[choose(loads, rows, now_s=now_s, rng=self._rng)]]

    def pick_other(self, rows: int, *, now_s: float, than: str) -> Pick | None:
        """Another endpoint in good standing, for a second call beside the first."""
        others = [t for t in self._outliers.active(self._targets) if t != than]
        if not others:
            return None
        loads = [self._picks[target].load for target in others]
        return self._picks[others[choose(loads, rows, now_s=now_s, rng=self._rng)]]

    def succeeded(self, pick: Pick, *, rows: int, latency_s: float, now_s: float) -> None:
        """An endpoint answered."""
        slowness = self.latency.observe(rows, latency_s)
        self.slowness.observe(slowness)
        pick.load.observe(slowness, now_s=now_s)
        self._outliers.succeeded(
            pick.target, now_s=now_s, latency_s=latency_s, slowness=slowness, is_probe=pick.is_probe
        )

    def failed(self, pick: Pick, *, is_gone: bool, now_s: float) -> bool:
        """An endpoint failed by its own fault; returns whether that speaks against the version as well."""
        pick.load.observe(_SLOWNESS_OF_A_FAILURE, now_s=now_s)
        self._outliers.failed(pick.target, now_s=now_s, is_gone=is_gone, is_probe=pick.is_probe)
        return pick.target in self._outliers.active(self._targets)

    def released(self, pick: Pick, *, now_s: float) -> None:
        """A call ended without a verdict."""
        self._outliers.released(pick.target, now_s=now_s, is_probe=pick.is_probe)

    def fair_wait_s(self, rows: int) -> float:
        """A wait in vain that is as long as this speaks against an endpoint."""
        expected_s = self.latency.expected_s(rows)
        if expected_s is None:
            return _FAIR_UNKNOWN_S
        return max(_FAIR_AT_LEAST_S, _FAIR_FACTOR * expected_s)

    def timed_out(self, pick: Pick, *, rows: int, waited_s: float, now_s: float) -> bool:
        """A call got no answer in its time; returns whether that speaks against the version as well."""
        fair_s = self.fair_wait_s(rows)
        if waited_s < fair_s:
            self.released(pick, now_s=now_s)
            return False
        return self.failed(pick, is_gone=waited_s >= _HUNG_FACTOR * fair_s, now_s=now_s)

    def hedge_delay_s(self, rows: int) -> float | None:
        """How long to wait for a first answer before asking a second endpoint; None: too little is known."""
        slowness, expected_s = self.slowness.value, self.latency.expected_s(rows)
        return None if slowness is None or expected_s is None else slowness * expected_s

    def enter(self, now_s: float) -> int:
        """A permit of the circuit for one call.

        Raises:
            Unavailable: The circuit is open.
        """
        permit = self.circuit.admit(now_s)
        if permit is None:
            raise self._refusal(now_s)
        return permit

    def check(self, now_s: float) -> None:
        """Whether a call would get a permit.

        Raises:
            Unavailable: The circuit is open.
        """
        if self.circuit.is_refusing(now_s):
            raise self._refusal(now_s)

    def forget(self) -> None:
        """Take the version out of the metrics."""
        _forget(metrics.CIRCUIT_STATE, self.model, self.version)
        for target in self._targets:
            _forget(metrics.ENDPOINT_STATE, self.model, self.version, target)

    def _refusal(self, now_s: float) -> Unavailable:
        self._refusals.inc()
        retry_after_s = self.circuit.retry_after_s(now_s)
        return Unavailable(
            f"version {self.version!r} of {self.model!r} failed too often and is left alone; "
            f"it is tried again in {retry_after_s:.1f} s",
            retry_after_s=retry_after_s,
        )

    def _candidates(self, failed: str | None) -> Sequence[str]:
        active = self._outliers.active(self._targets)
        if failed is None:
            return active
        return [t for t in active if t != failed] or [t for t in self._targets if t != failed] or active

    def _note_circuit(self, state: circuit.State) -> None:
        metrics.CIRCUIT_STATE.labels(self.model, self.version).set(state)
        metrics.CIRCUIT_TRANSITIONS.labels(self.model, self.version, state.name.lower()).inc()
        log.warning("circuit", extra={"model": self.model, "version": self.version, "state": state.name})
        if state is circuit.State.OPEN:
            for target in self._targets:
                self._channels.renew(target)

    def _note_endpoint(self, target: str, state: outliers.State, reason: str) -> None:
        metrics.ENDPOINT_STATE.labels(self.model, self.version, target).set(state)
        if state is outliers.State.EJECTED:
            metrics.ENDPOINT_EJECTIONS.labels(self.model, self.version, reason).inc()
            self.circuit.forgive()  # the failures so far had a cause, and it is gone
            self._channels.renew(target)
        log.info(
            "endpoint",
            extra={"version": self.version, "target": target, "state": state.name, "reason": reason},
        )


def _forget(gauge: Gauge, *labels: str) -> None:
    """Remove a series; one that was never set is no error."""
    with suppress(KeyError):
        gauge.remove(*labels)
