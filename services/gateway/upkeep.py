"""What follows changes of routes and endpoints: health, and letting go of what is no longer used."""

import asyncio
import itertools
from typing import Final

from services.gateway.catalog import Catalog
from services.gateway.directory import Directory
from services.gateway.handlers.models import Models
from services.gateway.lanes import Lanes
from services.gateway.rpc import FEEDBACK_SERVICE, OIP_SERVICE
from services.gateway.upstream import Upstream
from slipway.changes import waking
from slipway.rpc import RpcServer

_LOOK_S: Final = 0.25
_PRUNE_EVERY: Final = 40  # looks


class Upkeep:
    """One quiet loop."""

    def __init__(
        self,
        server: RpcServer,
        models: Models,
        *,
        catalog: Catalog,
        directory: Directory,
        lanes: Lanes,
        upstream: Upstream,
    ) -> None:
        self._server = server
        self._models = models
        self._catalog = catalog
        self._directory = directory
        self._lanes = lanes
        self._upstream = upstream
        self._said: dict[str, bool] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Look after every change of the catalog, and a few times a second for the rest."""
        async with waking(self._catalog.changes, stop):
            for look in itertools.count():
                if stop.is_set():
                    return
                await self.tell_health()
                self._lanes.tell()
                if look % _PRUNE_EVERY == 0:
                    await self.prune()
                await self._catalog.changes.wait_beyond(self._catalog.changes.revision, timeout_s=_LOOK_S)

    async def tell_health(self) -> None:
        """Tell grpc.health.v1 what changed: the server, its services, each model by name."""
        is_ready = self._models.is_server_ready()
        now = {"": is_ready, OIP_SERVICE: is_ready, FEEDBACK_SERVICE: is_ready, **self._models.health()}
        for name, is_serving in now.items():
            if self._said.get(name) != is_serving:
                await self._server.set_health(name, is_serving=is_serving)
        self._said = now

    async def prune(self) -> None:
        """Forget lanes and close channels of versions that left the routes."""
        arms = [(model, arm) for model in self._catalog.models.values() for arm in model.route.arms]
        in_use = {(model.name, arm.version, arm.upstream) for model, arm in arms}
        self._lanes.prune(in_use)
        self._upstream.forget_except(in_use)
        targets = {target for model, arm in arms for target in self._directory.targets(model.name, arm)}
        await self._upstream.close_except(targets)
