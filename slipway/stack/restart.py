"""Restarts parts; the workers of one service one after the other, so that there is always one that serves."""

import asyncio
from collections.abc import Iterable

from slipway.errors import Unavailable
from slipway.stack.bring_up import watch_ports
from slipway.stack.part import Part
from slipway.stack.stack import Stack
from slipway.stack.starting import Report, Starter
from slipway.stack.supervision import Supervision
from slipway.stack.take_down import Say, stop_parts


def choose_restarts(stack: Stack, names: Iterable[str]) -> tuple[Part, ...]:
    """The named parts, in the order of the stack; all services when none is named.

    The name of a service with several workers means all of them.

    Raises:
        NotFound: No part has this name.
    """
    wanted = {stack.part(name).name for name in names}
    if not wanted:
        return tuple(part for part in stack.parts if part.is_service and not part.on_demand)
    named = (part for part in stack.parts if part.name in wanted or part.worker_of in wanted)
    return tuple(part for part in named if part.name in wanted or not part.on_demand)


def restart(stack: Stack, parts: tuple[Part, ...], *, report: Report, say: Say) -> None:
    """Stop and start parts in order, each when the one before is ready.

    Raises:
        Unavailable: The stack does not run, or a part does not get ready: what comes after it was left alone.
    """
    supervision = Supervision(stack)
    if not supervision.is_running():
        raise Unavailable("the stack does not run; `slipway up` starts it")
    watch_ports(stack, [part for part in parts if part.worker_of], alive=supervision.alive())
    _Restart(stack, supervision, report=report, say=say).run(parts)


class _Restart:
    """One run of `restart`."""

    def __init__(self, stack: Stack, supervision: Supervision, *, report: Report, say: Say) -> None:
        self._stack = stack
        self._supervision = supervision
        self._starter = Starter(stack, supervision, report)
        self._say = say

    def run(self, parts: tuple[Part, ...]) -> None:
        """Restart all, and let whoever stood in go again."""
        for part in parts:
            if part.worker_of and part.name in self._supervision.alive():
                self._have_another(part)
            stop_parts(self._stack, [part], say=self._say)
            self._start(part)
        services = {part.worker_of for part in parts if part.worker_of}
        done = [part for part in self._stack.parts if part.on_demand and part.worker_of in services]
        stop_parts(self._stack, [part for part in done if part not in parts], say=self._say)

    def _have_another(self, worker: Part) -> None:
        """One more worker is ready; the stand-in where there is no other."""
        alive = self._supervision.alive()
        fellows = [p for p in self._stack.parts if p.worker_of == worker.worker_of and p != worker]
        if asyncio.run(_is_any_ready([fellow for fellow in fellows if fellow.name in alive])):
            return
        for standby in fellows:
            if standby.on_demand:
                self._start(standby)

    def _start(self, part: Part) -> None:
        was_running = part.name in self._supervision.alive()
        if not was_running:
            self._supervision.refresh_stopped(part.name)
        asyncio.run(self._starter.bring_up(part, was_running=was_running))


async def _is_any_ready(parts: Iterable[Part]) -> bool:
    return any([await part.is_ready() for part in parts])
