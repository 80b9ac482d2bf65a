"""The model registry without its blocking: every call in a thread, with a deadline, few at a time."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from services.rollout.rows import Profiles
from slipway.errors import DeadlineExceeded, NotFound, Overloaded
from slipway.registry import CHAMPION, Registry

T = TypeVar("T")

MANIFEST: Final = "manifest.json"
_DEADLINE_S: Final = 20.0
_THREADS: Final = 2
_WAITING: Final = 64


class VersionRegistry:
    """What rollout needs of the registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="registry")
        self._waiting = 0

    async def find_digest(self, model: str, version: str) -> str:
        """The digest of a registered version.

        Raises:
            NotFound: The registry does not know it.
        """
        found = await self._call(lambda: self._registry.find(model, version))
        return found.digest

    async def load_profiles(self, model: str, version: str) -> Profiles:
        """The version's profiles.

        Raises:
            NotFound: The registry does not know the version.
            InvalidInput: Its manifest names another input profile than the one that is stored.
        """
        return await self._call(lambda: _load_profiles(self._registry, model, version))

    async def find_trainers(self, model: str, version: str) -> tuple[str, ...]:
        """Who asked for the training, or registered the file, as the version's manifest says.

        Nobody for a version that the registry does not know: it was started by its digest.
        """
        try:
            return await self._call(lambda: _find_trainers(self._registry, model, version))
        except NotFound:
            return ()

    async def set_champion(self, model: str, version: str) -> None:
        """Point the alias `champion` at a version."""
        await self._call(lambda: self._registry.set_alias(model, CHAMPION, version))

    def close(self) -> None:
        """Take no more calls; those under way end with the process."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _call(self, call: Callable[[], T]) -> T:
        if self._waiting >= _WAITING:
            raise Overloaded(f"{_WAITING} calls to the registry are waiting; it does not answer")
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, call)
        future.add_done_callback(self._settle)
        try:
            return await asyncio.wait_for(asyncio.shield(future), timeout=_DEADLINE_S)
        except TimeoutError as error:
            raise DeadlineExceeded(f"the registry did not answer within {_DEADLINE_S:g} s") from error

    def _settle(self, future: "asyncio.Future[T]") -> None:
        self._waiting -= 1
        if not future.cancelled():
            future.exception()  # whoever waited has seen it, or has given up


def _find_trainers(registry: Registry, model: str, version: str) -> tuple[str, ...]:
    manifest = registry.load_document(registry.find(model, version), MANIFEST)
    named = (manifest.get("request", {}).get("actor", ""), manifest.get("registered_by", ""))
    return tuple(name for name in named if name)


def _load_profiles(registry: Registry, model: str, version: str) -> Profiles:
    found = registry.find(model, version)
    return Profiles(
        reference=registry.load_profile(found).SerializeToString(),
        input=registry.load_input_profile(found),
    )
