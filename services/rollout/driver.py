"""What happens without anybody asking: replicas get ready, deadlines pass, aliases follow the routes."""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol

from services.rollout import metrics
from services.rollout.control import Control, Model
from services.rollout.domain.decision import Decision, decide, when_not_warm, when_ready
from services.rollout.domain.log_entry import Version
from services.rollout.domain.moment import elapsed_s
from services.rollout.domain.position import Position
from services.rollout.domain.state_machine import State, Trigger
from services.rollout.domain.tally import Tally
from services.rollout.handlers import make_move, start_waiting
from services.rollout.input_profiles import lacks
from services.rollout.rows import Profiles
from services.rollout.store import Fenced
from slipway.errors import InvalidInput, NotFound, SlipwayError, Unavailable
from slipway.v1.inference_pb2 import VersionEndpoints

log = logging.getLogger(__name__)

TICK_S: Final = 0.2
# A failure of an earlier attempt may still be shown until the inference service has seen the new routes.
FAILURE_SETTLES_S: Final = 2.0
# Without its reference profile a version serves well, only its drift cannot be watched.
PROFILE_PATIENCE_S: Final = 15.0
RETRY_S: Final = 2.0
# Deadlines and freeze windows are noticed within this time where no record comes in.
IDLE_LOOK_S: Final = 1.0
# Questions to the inference service at a time, whatever the number of models.
ASKED_AT_ONCE: Final = 64


class Replicas(Protocol):
    """Who knows whether a version's replicas are ready."""

    async def get_version(self, model: str, version: str) -> VersionEndpoints:
        """The state of one version's replicas."""
        ...


class Versions(Protocol):
    """The registry, as far as a running rollout needs it."""

    async def load_profiles(self, model: str, version: str) -> Profiles:
        """The version's profiles."""
        ...

    async def set_champion(self, model: str, version: str) -> None:
        """Point the alias `champion` at a version."""
        ...


@dataclass(frozen=True, slots=True)
class _Warmth:
    """What was last seen of a version's replicas."""

    state: str
    waiting_for: str


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was looked at, and when."""

    position: Position
    tally: Tally
    at_s: float


class Driver:
    """One task per model and purpose: a model whose replicas are slow delays no other."""

    def __init__(self, control: Control, replicas: Replicas, versions: Versions) -> None:
        self._control = control
        self._replicas = replicas
        self._versions = versions
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._retry_at_s: dict[tuple[str, str], float] = {}
        self._aliases: dict[str, str] = {}
        self._served: dict[str, int] = {}
        self._looks: dict[str, _Seen] = {}
        self._places = asyncio.Semaphore(ASKED_AT_ONCE)
        self._complaints: dict[tuple[str, str], str] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Look at every model again and again until `stop` is set.

        Raises:
            Fenced: Another process holds the lease.
        """
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                for name in self._control.names:
                    self._look_at(group, self._control.find(name))
                try:
                    await asyncio.wait_for(stop.wait(), timeout=TICK_S)
                except TimeoutError:
                    continue
            for task in self._tasks.values():
                task.cancel()

    def _look_at(self, group: asyncio.TaskGroup, model: Model) -> None:
        position = model.position
        if (position.is_live and self._is_due(model)) or model.waiting:
            self._spawn(group, ("step", model.name), self._step(model.name, position))
        if position.state is State.WARMING:
            missing = [v for v in _new_versions(position) if v.version not in model.profiles]
            if missing:
                self._spawn(group, ("profile", model.name), self._fetch_profile(model.name, missing[0]))
        # A move may have brought other replicas: each is asked after anew.
        if position.champion and self._served.get(model.name) != position.step_epoch:
            self._spawn(group, ("served version", model.name), self._assert_served(model.name, position))
        wanted = _alias_of(position)
        if wanted and self._aliases.get(model.name) != wanted:
            self._spawn(group, ("alias", model.name), self._set_alias(model.name, wanted))

    def _is_due(self, model: Model) -> bool:
        """Whether a look can find what the last one did not: among hundreds most have nothing new."""
        seen = self._looks.get(model.name)
        if seen is None or seen.position is not model.position or seen.tally is not model.tally:
            return True
        return self._control.clock.monotonic_s() - seen.at_s >= IDLE_LOOK_S

    def _spawn(self, group: asyncio.TaskGroup, key: tuple[str, str], work: Coroutine[Any, Any, None]) -> None:
        task = self._tasks.get(key)
        is_early = self._control.clock.monotonic_s() < self._retry_at_s.get(key, 0)
        if (task and not task.done()) or is_early:
            work.close()
            return
        self._tasks[key] = group.create_task(self._guarded(key, work))

    async def _guarded(self, key: tuple[str, str], work: Coroutine[Any, Any, None]) -> None:
        """A part that is away is named once, and tried again later."""
        try:
            await work
            self._complaints.pop(key, None)
        except Fenced:
            raise
        except SlipwayError as error:
            self._retry_at_s[key] = self._control.clock.monotonic_s() + RETRY_S
            if self._complaints.get(key) != str(error):
                self._complaints[key] = str(error)
                log.warning("%s of %s must wait: %s", key[0], key[1], error)

    async def _step(self, name: str, seen: Position) -> None:
        warmth = await self._see_warmth(name, seen) if seen.state is State.WARMING else None
        async with self._control.locked(name) as model:
            if model.position.seq != seen.seq:
                return
            decision = self._decide(model, warmth)
            if warmth is None:
                now_s = self._control.clock.monotonic_s()
                self._looks[name] = _Seen(model.position, model.tally, now_s)
            if decision:
                await make_move(self._control, model, decision)
            else:
                await start_waiting(self._control, model)

    def _decide(self, model: Model, warmth: _Warmth | None) -> Decision | None:
        position, policy, at = model.position, model.policy, self._control.moment()
        if warmth is None:
            return decide(position, model.tally, policy, at)
        # A pause stops the deadline, not what replicas do.
        since_s = at.now_s - max(position.entered_at_s, at.watched_from_s)
        if warmth.state == "FAILED" and since_s > FAILURE_SETTLES_S:
            reason = f"its replicas failed: {warmth.waiting_for}"
            return Decision(trigger=Trigger.WARM_FAILED, reason=reason)
        known = {version.version for version in _new_versions(position)} <= model.profiles.keys()
        if known and (reason := _lacks(model)):
            return Decision(trigger=Trigger.WARM_FAILED, reason=reason)
        if warmth.state == "READY" and (known or _is_late(model, since_s)):
            return when_ready(position, policy, at)
        waiting_for = warmth.waiting_for or "its reference profile in the registry"
        return when_not_warm(policy, since_s=elapsed_s(position, at), waiting_for=waiting_for)

    async def _see_warmth(self, name: str, seen: Position) -> _Warmth:
        """What the slowest of the new versions still needs; one that fails speaks for all."""
        found = [await self._see_version(name, version) for version in _new_versions(seen)]
        waiting = [warmth for warmth in found if warmth.state != "READY"]
        failed = [warmth for warmth in waiting if warmth.state == "FAILED"]
        return (failed or waiting or found)[0]

    async def _see_version(self, name: str, version: Version) -> _Warmth:
        try:
            async with self._places:
                found = await self._replicas.get_version(name, version.version)
        except SlipwayError as error:
            return _Warmth("UNKNOWN", str(error))
        if found.state == "READY" and found.digest != version.digest:
            return _Warmth(
                "LOADING", f"its replicas serve digest {found.digest[:12]}, not {version.digest[:12]}"
            )
        if found.state == "READY":
            return _Warmth("READY", "")
        return _Warmth(found.state, found.message or f"its replicas are {found.state or 'UNKNOWN'}")

    async def _assert_served(self, name: str, position: Position) -> None:
        """Promoted is what answers, not what the log says: ask until both agree (Flagger, issue 189)."""
        champion = position.champion
        assert champion is not None
        warmth = await self._see_version(name, champion)
        is_served = warmth.state == "READY"
        metrics.UNSERVED.labels(name).set(not is_served)
        if not is_served:
            raise Unavailable(
                f"version {champion.version} is champion and does not answer: {warmth.waiting_for}"
            )
        self._served[name] = position.step_epoch

    async def _fetch_profile(self, name: str, subject: Version) -> None:
        try:
            profiles = await self._versions.load_profiles(name, subject.version)
        except (NotFound, InvalidInput) as error:
            log.warning("version %s of %s has no profiles: %s", subject.version, name, error)
            profiles = Profiles()
        async with self._control.locked(name) as model:
            store = self._control.store
            await store.put_profiles(self._control.writer, (name, subject.version), profiles=profiles)
            model.profiles[subject.version] = profiles

    async def _set_alias(self, name: str, version: str) -> None:
        try:
            await self._versions.set_champion(name, version)
        except (NotFound, InvalidInput) as error:
            log.warning("the registry has no version %s of %s: %s", version, name, error)
        except SlipwayError:
            metrics.ALIAS_FAILURES.inc()
            raise
        self._aliases[name] = version


def _new_versions(position: Position) -> tuple[Version, ...]:
    """The version that is rolled out, and its rivals."""
    assert position.subject is not None
    return (position.subject, *position.rivals)


def _is_late(model: Model, since_s: float) -> bool:
    """Whether a version goes on without its profiles; one that its spec wants defended does not."""
    defence = model.spec.defence
    is_demanded = defence.demands_density or defence.demands_calibration
    return since_s > PROFILE_PATIENCE_S and (model.position.is_restore or not is_demanded)


def _lacks(model: Model) -> str:
    """What the spec demands and one of the new versions has not; nothing is in the way of a way back."""
    if model.position.is_restore:
        return ""
    found = ((v, model.profiles[v.version].input) for v in _new_versions(model.position))
    lacking = ((v, lacks(model.spec, profile)) for v, profile in found)
    return next((f"version {v.version} {what}" for v, what in lacking if what), "")


def _alias_of(position: Position) -> str:
    """The version that the registry should call champion: not the one that still bakes."""
    if position.state is State.BAKE:
        return position.previous[-1].version
    return position.champion.version if position.champion else ""
