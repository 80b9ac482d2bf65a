"""Endpoints that do worse than their neighbours are left out for a while.

Source: Envoy, Outlier detection, https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier:
consecutive failures, success rate against the pool, a ceiling on the ejected share, an ejection time
that grows with each ejection. Unlike Envoy an endpoint does not return to full traffic at once: one
call tries it first. Pools here have 2 to 10 replicas, so the pool is its median, not a deviation.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import IntEnum
from statistics import median


class State(IntEnum):
    """Where an endpoint stands; the number is the metric's."""

    ACTIVE = 0
    HALF_OPEN = 1  # its time is over; one call tries it
    EJECTED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlierPolicy:
    """When an endpoint is left out, and for how long.

    Attributes:
        consecutive_failures: In a row, of calls that were its own fault. Envoy's default.
        max_ejected_share: Of the pool; one may always be left out, and never the last one.
        base_ejection_s: The first time; twice that the next, and so on up to `max_ejection_s`.
        forgive_s: So long without trouble takes one ejection off the count.
        probe_timeout_s: A probe without a verdict for so long gives way to another.
        interval_s: Between two comparisons with the pool. Envoy's default.
        min_calls: An endpoint with fewer calls in an interval is not compared.
        success_gap: Its success share may lie so far below the median of the others.
        slow_factor: Its latency may be so many times the median of the others, if it is also
        slow_s: above it by so much: between fast endpoints a ratio is noise.
    """

    consecutive_failures: int = 5
    max_ejected_share: float = 0.5
    base_ejection_s: float = 1.0
    max_ejection_s: float = 30.0
    forgive_s: float = 60.0
    probe_timeout_s: float = 5.0
    interval_s: float = 10.0
    min_calls: int = 20
    success_gap: float = 0.3
    slow_factor: float = 3.0
    slow_s: float = 0.02


@dataclass(slots=True)
class _Track:
    """What is known of one endpoint."""

    state: State = State.ACTIVE
    failures_in_a_row: int = 0
    ejections: int = 0
    changed_s: float = 0.0  # when it came back last
    until_s: float = 0.0  # end of the ejection, or of the wait for a probe
    calls: int = 0
    failures: int = 0
    latency_s: float = 0.0
    slowness: float = 0.0

    def start_interval(self) -> None:
        self.calls = self.failures = 0
        self.latency_s = self.slowness = 0.0


Notify = Callable[[str, State, str], None]


class Outliers:
    """The endpoints of one version. `notify` hears of every change: target, state, reason."""

    def __init__(self, policy: OutlierPolicy, notify: Notify) -> None:
        self._policy = policy
        self._notify = notify
        self._tracks: dict[str, _Track] = {}
        self._left_out: dict[str, _Track] = {}
        self._sweep_s: float | None = None

    def sync(self, targets: Collection[str]) -> None:
        """Know these endpoints and no others; new ones start as active."""
        self._tracks = {target: self._tracks.get(target) or _Track() for target in targets}
        self._left_out = {t: track for t, track in self._left_out.items() if t in self._tracks}

    def state(self, target: str) -> State:
        """Where a known endpoint stands."""
        return self._tracks[target].state

    def active(self, targets: Sequence[str]) -> Sequence[str]:
        """Those that take calls; when none is left, all of them: a poor endpoint is better than none."""
        if not self._left_out:
            return targets
        return [target for target in targets if target not in self._left_out] or targets

    def take_probe(self, now_s: float) -> str | None:
        """An endpoint that this call must try, because its ejection is over; None: there is none."""
        for target, track in self._left_out.items():
            if now_s >= track.until_s:
                track.until_s = now_s + self._policy.probe_timeout_s
                if track.state is not State.HALF_OPEN:
                    self._move(target, track, State.HALF_OPEN, reason="ejection over")
                return target
        return None

    def succeeded(
        self, target: str, *, now_s: float, latency_s: float, slowness: float, is_probe: bool
    ) -> None:
        """An endpoint answered."""
        track = self._tracks.get(target)
        if track is None:
            return
        track.failures_in_a_row = 0
        track.calls += 1
        track.latency_s += latency_s
        track.slowness += slowness
        if is_probe and track.state is State.HALF_OPEN:
            self._return(target, track, now_s=now_s)
        self._sweep(now_s)

    def failed(self, target: str, *, now_s: float, is_gone: bool, is_probe: bool) -> None:
        """An endpoint failed by its own fault; `is_gone`: it cannot be reached, or has not the version."""
        track = self._tracks.get(target)
        if track is None:
            return
        track.failures_in_a_row += 1
        track.calls += 1
        track.failures += 1
        if is_probe and track.state is State.HALF_OPEN:
            self._eject(target, track, now_s=now_s, reason="probe")
        elif track.state is State.ACTIVE:
            if is_gone:
                self._try_eject(target, track, now_s=now_s, reason="gone")
            elif track.failures_in_a_row >= self._policy.consecutive_failures:
                self._try_eject(target, track, now_s=now_s, reason="consecutive_failures")
        self._sweep(now_s)

    def released(self, target: str, *, now_s: float, is_probe: bool) -> None:
        """A call ended without a verdict, because nobody waited for it any more: another may probe."""
        track = self._tracks.get(target)
        if track is not None and is_probe and track.state is State.HALF_OPEN:
            track.until_s = now_s

    def _return(self, target: str, track: _Track, *, now_s: float) -> None:
        del self._left_out[target]
        track.changed_s = now_s
        track.start_interval()  # what it did before does not count again
        self._move(target, track, State.ACTIVE, reason="probe")

    def _try_eject(self, target: str, track: _Track, *, now_s: float, reason: str) -> None:
        count = len(self._tracks)
        most = min(count - 1, max(1, int(count * self._policy.max_ejected_share)))
        if len(self._left_out) < most:
            self._eject(target, track, now_s=now_s, reason=reason)

    def _eject(self, target: str, track: _Track, *, now_s: float, reason: str) -> None:
        policy = self._policy
        if track.state is State.ACTIVE:
            track.ejections = max(0, track.ejections - int((now_s - track.changed_s) / policy.forgive_s))
        track.ejections += 1
        # The exponent is bounded so that an endpoint that is gone for days does not overflow.
        growth = 2.0 ** min(track.ejections - 1, 30)
        track.until_s = now_s + min(policy.max_ejection_s, policy.base_ejection_s * growth)
        track.failures_in_a_row = 0
        self._left_out[target] = track
        self._move(target, track, State.EJECTED, reason=reason)

    def _move(self, target: str, track: _Track, state: State, *, reason: str) -> None:
        track.state = state
        self._notify(target, state, reason)

    def _sweep(self, now_s: float) -> None:
        """Compare the endpoints with each other once in an interval."""
        if self._sweep_s is None:
            self._sweep_s = now_s + self._policy.interval_s
        if now_s < self._sweep_s:
            return
        self._sweep_s = now_s + self._policy.interval_s
        judged = {
            target: track
            for target, track in self._tracks.items()
            if track.state is State.ACTIVE and track.calls >= self._policy.min_calls
        }
        found = {t: self._difference(track, _others(judged, t)) for t, track in judged.items()}
        for target, reason in found.items():
            if reason:
                self._try_eject(target, judged[target], now_s=now_s, reason=reason)
        for track in self._tracks.values():
            track.start_interval()

    def _difference(self, track: _Track, others: Sequence[_Track]) -> str:
        """In what an endpoint is worse than the others; empty: in nothing."""
        policy = self._policy
        if not others:
            return ""
        if _success(track) < median(map(_success, others)) - policy.success_gap:
            return "success_share"
        answered, usual = track.calls - track.failures, [o for o in others if o.calls > o.failures]
        if not answered or not usual:
            return ""
        is_slower = track.slowness / answered > policy.slow_factor * median(map(_slowness, usual))
        is_slow = track.latency_s / answered > median(map(_latency_s, usual)) + policy.slow_s
        return "latency" if is_slower and is_slow else ""


def _others(tracks: dict[str, _Track], target: str) -> list[_Track]:
    return [track for other, track in tracks.items() if other != target]


def _success(track: _Track) -> float:
    return 1 - track.failures / track.calls


def _slowness(track: _Track) -> float:
    return track.slowness / (track.calls - track.failures)


def _latency_s(track: _Track) -> float:
    return track.latency_s / (track.calls - track.failures)
