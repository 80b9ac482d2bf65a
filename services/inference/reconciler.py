"""Brings the cluster to what the route tables ask for, one careful step after another."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from services.inference.cluster import Deployment, HeadGone
from services.inference.domain.fleet import App
from services.inference.domain.version import Version, replica_key
from services.inference.handlers import Inference
from services.inference.replica import ReplicaConfig
from services.inference.settings import Settings
from slipway.clock import Clock
from slipway.errors import SlipwayError, Unavailable

log = logging.getLogger(__name__)

_LOOK_AGAIN_S: Final = 1.0
_CONNECT_AGAIN_S: Final = 0.5
_CONNECT_LIMIT_S: Final = 5.0
_LOAD_DEADLINE_S: Final = 10.0
_HANGING_S: Final = 60.0


class Cluster(Protocol):
    """What the reconciler needs of Ray Serve."""

    async def connect(self) -> None:
        """Join it."""
        ...

    async def leave(self) -> None:
        """Leave it."""
        ...

    async def apps(self) -> Mapping[str, App]:
        """All applications by name."""
        ...

    async def deploy(self, deployments: list[Deployment]) -> None:
        """Ask for applications."""
        ...

    async def delete(self, name: str) -> None:
        """Ask for an application's end."""
        ...


class Models(Protocol):
    """Where model bytes come from."""

    async def load(self, version: Version) -> bytes:
        """The bytes of a version, verified."""
        ...


class Trials(Protocol):
    """Where models are tried."""

    async def pass_or_fail(self, version: Version, onnx: bytes, *, spec_yaml: str) -> None:
        """Try a version under its spec."""
        ...


class Reconciler:
    """The only one that changes applications."""

    def __init__(
        self,
        inference: Inference,
        cluster: Cluster,
        *,
        models: Models,
        trials: Trials,
        clock: Clock,
        settings: Settings,
        operator_token: str,
    ) -> None:
        self._inference = inference
        self._cluster = cluster
        self._models = models
        self._trials = trials
        self._clock = clock
        self._settings = settings
        self._operator_token = operator_token
        self.is_connected = False

    async def run(self, demand_known: Callable[[], bool], stop: asyncio.Event) -> None:
        """Reconcile until told to stop.

        Raises:
            Unavailable: The head has not listened for `ray_lost_after_s`, or not answered for a minute.
                A driver cannot join a restarted head: the process ends, its supervisor starts one that can.
        """
        await self._connect(stop)
        try:
            await self._work(demand_known, stop)
        finally:
            # At the interpreter's exit Ray's own threads would meet a half-dismantled process.
            await self._cluster.leave()

    async def _work(self, demand_known: Callable[[], bool], stop: asyncio.Event) -> None:
        answered_s = self._clock.monotonic_s()
        while not stop.is_set():
            try:
                # Before all routes are read nothing is wanted, and everything would be taken down.
                if demand_known():
                    await self.step()
                else:
                    await self._cluster.apps()
                answered_s = self._clock.monotonic_s()
            except Unavailable as error:
                limit_s = self._settings.ray_lost_after_s if isinstance(error, HeadGone) else _HANGING_S
                if self._clock.monotonic_s() - answered_s > limit_s:
                    raise
                log.warning("Ray does not answer: %s", error)
            await self._wait_for_news(stop)

    async def step(self) -> None:
        """Look, plan, act: in this order, so that a plan never rests on an old look."""
        apps = await self._cluster.apps()
        plan = self._inference.fleet.plan(apps, self._inference.replicas, now_s=self._clock.monotonic_s())
        self._inference.follow(plan)
        for name in plan.delete:
            log.info("deleting", extra={"application": name})
            await self._cluster.delete(name)
        wanted = self._inference.demand.wanted()
        asked = [version for version in plan.deploy if version in wanted]
        loaded = await asyncio.gather(*(self._can_load(v, wanted[v].spec_yaml) for v in asked))
        still = self._inference.demand.wanted()
        versions = [v for v, can in zip(asked, loaded, strict=True) if can and v in still]
        if versions:
            log.info("deploying", extra={"applications": [v.app_name for v in versions]})
            await self._cluster.deploy([self._deployment(version) for version in versions])
            self._inference.asked(versions)

    async def _can_load(self, version: Version, spec_yaml: str) -> bool:
        """Fetch and try the model before a replica is started for it: what is wrong shows at once."""
        try:
            async with asyncio.timeout(_LOAD_DEADLINE_S):
                onnx = await self._models.load(version)
            await self._trials.pass_or_fail(version, onnx, spec_yaml=spec_yaml)
        except TimeoutError:
            self._inference.hold(version, f"the registry did not answer in {_LOAD_DEADLINE_S:g} s")
        except SlipwayError as error:
            if error.retriable:
                self._inference.hold(version, str(error))
            else:
                self._inference.fail(version, str(error))
        else:
            return True
        return False

    def _deployment(self, version: Version) -> Deployment:
        resources = self._inference.demand.wanted()[version]
        return Deployment(
            name=version.app_name,
            replicas=resources.replicas,
            cpus_per_replica=resources.cpus_per_replica,
            config=ReplicaConfig(
                version=version,
                spec_yaml=resources.spec_yaml,
                desk=self._settings.desk_target,
                key=replica_key(self._operator_token, version),
                host=self._settings.replica_host,
                tls=self._settings.replica_tls,
                load_deadline_s=self._settings.replica_load_deadline_s,
            ),
        )

    async def _connect(self, stop: asyncio.Event) -> None:
        delay_s = _CONNECT_AGAIN_S
        while not stop.is_set():
            try:
                await self._cluster.connect()
                self.is_connected = True
                return
            except Unavailable as error:
                log.warning("waiting for Ray: %s", error)
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, _CONNECT_LIMIT_S)

    async def _wait_for_news(self, stop: asyncio.Event) -> None:
        if stop.is_set():
            return
        try:
            await asyncio.wait_for(self._inference.news.wait(), timeout=_LOOK_AGAIN_S)
        except TimeoutError:
            return
        self._inference.news.clear()
