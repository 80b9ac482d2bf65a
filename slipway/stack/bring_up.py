"""Starts the stack: every part as soon as the ones it needs are ready."""

import asyncio
from collections.abc import Iterable, Mapping

from slipway.errors import SlipwayError, Unavailable
from slipway.stack.part import Part
from slipway.stack.preflight import check_ports, check_requirements
from slipway.stack.processes import end, family, find_ours
from slipway.stack.stack import Stack
from slipway.stack.starting import Report, Starter
from slipway.stack.supervision import Supervision


def choose_parts(stack: Stack, names: Iterable[str]) -> tuple[Part, ...]:
    """The named parts and all they need, or the whole stack when none is named."""
    pending = [stack.part(name) for name in names]
    if not pending:
        return tuple(part for part in stack.parts if not part.on_demand)
    chosen: set[str] = set()
    while pending:
        part = pending.pop()
        chosen.add(part.name)
        pending += [stack.part(need) for need in part.needs if need not in chosen]
    return tuple(part for part in stack.parts if part.name in chosen)


def bring_up(stack: Stack, parts: tuple[Part, ...], *, report: Report) -> None:
    """Start what is not running and wait until every part is ready.

    Raises:
        SlipwayError: The first thing that is missing, taken, dead or refused; what had started stays up.
    """
    supervision = Supervision(stack)
    check_requirements(parts)
    if supervision.is_running():
        supervision.refresh()
        alive = supervision.alive()
    else:
        # A supervisor that was killed leaves its children: they hold the ports and nobody restarts them.
        end(find_ours(stack.layout.home))
        alive = {}
    watch_ports(stack, parts, alive=alive)
    if not supervision.is_running():
        supervision.start_daemon()
    try:
        asyncio.run(_Ascent(stack, supervision, alive=frozenset(alive), report=report).run(parts))
    except BaseExceptionGroup as group:
        raise _one_error(group) from None


def watch_ports(stack: Stack, parts: Iterable[Part], *, alive: Mapping[str, int]) -> None:
    """The ports of parts that will start are free; those that workers share have no stranger on them.

    Args:
        stack: The whole.
        parts: What is looked at.
        alive: The parts that run, with their process ids.
    Raises:
        Conflict: Names who is in the way.
    """
    at_home: dict[int, set[int]] = {}
    for worker in stack.parts:
        if worker.worker_of and worker.name in alive:
            for port in worker.ports.values():
                at_home.setdefault(port, set()).update(it.pid for it in family(alive[worker.name]))
    looked_at = [part for part in parts if part.worker_of or part.name not in alive]
    check_ports(looked_at, at_home=at_home)


def _one_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    leaves = list(group.exceptions)
    unexpected = [error for error in leaves if not isinstance(error, SlipwayError)]
    if unexpected or len(leaves) == 1:
        return (unexpected or leaves)[0]
    return Unavailable("\n".join(str(error) for error in leaves))


class _Ascent:
    """One run of `up`."""

    def __init__(
        self, stack: Stack, supervision: Supervision, *, alive: frozenset[str], report: Report
    ) -> None:
        self._starter = Starter(stack, supervision, report)
        self._alive = alive
        self._ready: Mapping[str, asyncio.Event] = {}

    async def run(self, parts: tuple[Part, ...]) -> None:
        """Bring all parts up at once; each waits for what it needs."""
        self._ready = {part.name: asyncio.Event() for part in parts}
        async with asyncio.TaskGroup() as tasks:
            for part in parts:
                tasks.create_task(self._bring_up(part))

    async def _bring_up(self, part: Part) -> None:
        for need in part.needs:
            await self._ready[need].wait()
        await self._starter.bring_up(part, was_running=part.name in self._alive)
        self._ready[part.name].set()
