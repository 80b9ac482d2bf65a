"""Ray Serve as the service sees it: applications by name, replicas without any proxy.

Ray's calls block, some for as long as their server is away, so all are made on one daemon thread,
each with a deadline; a thread that hangs cannot keep the process from ending.
"""

import asyncio
import atexit
import logging
import queue
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.schema import ApplicationStatus

from services.inference.domain.fleet import App
from services.inference.replica import Replica, ReplicaConfig
from slipway.errors import Unavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

_NAMESPACE: Final = "slipway"
_CONNECT_DEADLINE_S: Final = 60.0
_CALL_DEADLINE_S: Final = 20.0
_KNOCK_DEADLINE_S: Final = 2.0
_LEAVE_DEADLINE_S: Final = 3.0
_RAY_ERRORS: Final = (RayError, RayServeException, RuntimeError, OSError, TimeoutError)


class HeadGone(Unavailable):
    """Nobody listens at the head's address: not slow, but gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One application to be."""

    name: str
    replicas: int
    cpus_per_replica: float
    config: ReplicaConfig


class ServeCluster:
    """The Serve instance of one Ray cluster."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]]] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="ray", daemon=True).start()

    async def connect(self) -> None:
        """Join the cluster and start Serve where it does not run yet.

        Raises:
            HeadGone: Nobody listens at the address.
            Unavailable: Ray does not answer in time.
        """
        await self._knock()
        await self._call(lambda: _connect(self._address), deadline_s=_CONNECT_DEADLINE_S)
        # Ray has put a handler in front that dumps a trace at a mere SIGTERM.
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))

    async def leave(self) -> None:
        """Leave the cluster; applications go on running in it."""
        try:
            await self._call(ray.shutdown, deadline_s=_LEAVE_DEADLINE_S)
        except Unavailable as error:
            log.warning("could not leave Ray: %s", error)

    async def apps(self) -> Mapping[str, App]:
        """All applications by name."""
        await self._knock()
        status = await self._call(serve.status)
        return {name: _app(app) for name, app in status.applications.items()}

    async def deploy(self, deployments: list[Deployment]) -> None:
        """Ask for applications; they come up behind this call."""
        targets = [_target(deployment) for deployment in deployments]
        await self._call(
            lambda: serve.run_many(
                targets, wait_for_ingress_deployment_creation=False, wait_for_applications_running=False
            )
        )

    async def delete(self, name: str) -> None:
        """Ask for an application's end; its replicas drain behind this call."""
        await self._call(lambda: serve.delete(name, _blocking=False))

    async def _knock(self) -> None:
        """See that the head listens: where it does not, Ray's own calls hang instead of failing."""
        host, _, port = self._address.rpartition(":")
        try:
            async with asyncio.timeout(_KNOCK_DEADLINE_S):
                _, writer = await asyncio.open_connection(host, int(port))
        except (OSError, TimeoutError) as error:
            raise HeadGone(f"Ray does not listen at {self._address}: {error}") from error
        writer.close()

    async def _call(self, call: Callable[[], T], *, deadline_s: float = _CALL_DEADLINE_S) -> T:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._calls.put((call, future))
        try:
            async with asyncio.timeout(deadline_s):
                return await future
        except _RAY_ERRORS as error:
            raise Unavailable(f"Ray at {self._address}: {error!r}"[:500]) from error

    def _work(self) -> None:
        while True:
            call, future = self._calls.get()
            try:
                answer, error = call(), None
            except _RAY_ERRORS as raised:
                answer, error = None, raised
            future.get_loop().call_soon_threadsafe(_settle, future, answer, error)


def _settle(future: "asyncio.Future[Any]", answer: Any, error: Exception | None) -> None:
    if future.done():
        return  # its deadline has passed
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(answer)


def _connect(address: str) -> None:
    # Serve's client says every call on standard error, as text.
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    if not ray.is_initialized():
        ray.init(address=address, namespace=_NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
        # We leave by ourselves; at exit it would wait a minute for a head that is gone.
        atexit.unregister(ray.shutdown)
    serve.start(proxy_location="Disabled")


def _target(deployment: Deployment) -> serve.RunTarget:
    described = serve.deployment(
        name="replica",
        num_replicas=deployment.replicas,
        ray_actor_options={"num_cpus": deployment.cpus_per_replica},
        health_check_period_s=2,
        health_check_timeout_s=10,
        graceful_shutdown_wait_loop_s=0.1,
        graceful_shutdown_timeout_s=10,
        max_constructor_retry_count=3,
        logging_config={"log_level": "WARNING", "enable_access_log": False},
    )(Replica)
    return serve.RunTarget(target=described.bind(deployment.config), name=deployment.name, route_prefix=None)


def _app(app: Any) -> App:
    messages = [app.message, *(d.message for d in app.deployments.values())]
    return App(
        is_failed=app.status == ApplicationStatus.DEPLOY_FAILED,
        is_deleting=app.status == ApplicationStatus.DELETING,
        message=" ".join(m.strip() for m in messages if m)[:1000],
    )
