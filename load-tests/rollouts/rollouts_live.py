"""Under load: aborts, rollbacks and failed guards by the clock, and many turns in which nothing may fail."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rollouts_client import Client, client
from rollouts_judge import Change, Live, last_answer_s
from rollouts_site import Site

from slipway.v1.rollout_pb2 import RolloutEvent

FIRST, SECOND, BROKEN = "1", "2", "3"
_HOLD: Final = "{weight_percent: 50, min_rows: 1000000000}"
_SHORT: Final = "{weight_percent: 50, min_rows: 40}"
_NEVER: Final = 1_000_000_000
_BAKE_ROWS: Final = 40
_SEEN_S: Final = 3.0  # so long after a decision is looked for answers of the version that had to go
_IN_FLIGHT: Final = 32
_HEADROOM: Final = 0.6  # of the capacity: an open loop above it measures queues


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long and how often."""

    per_s: float
    repeats: int
    rounds: int
    warm_up_s: float


async def measure(site: Site, plan: Plan, *, say: Callable[[str], None]) -> Live:
    """The live part."""
    await site.start(FIRST)
    await site.reaches("DONE", version=FIRST)
    async with client(site.door) as it:
        await _until_served(it)
        capacity_per_s = await it.capacity_per_s(plan.warm_up_s, in_flight=_IN_FLIGHT)
        per_s = min(plan.per_s, _HEADROOM * capacity_per_s)
        say(f"        capacity {capacity_per_s:,.0f}/s; asking with {per_s:,.0f}/s")
        changes: list[Change] = []
        async with it.asking(per_s):
            for number in range(plan.repeats):
                changes += [
                    await _aborted(site, it),
                    await _rolled_back(site, it),
                    await _guarded(site, it),
                ]
                say(f"        {number + 1} of {plan.repeats}: " + _told(changes[-3:]))
            changes += [change for n in range(plan.rounds) for change in await _round(site, it, n, say=say)]
        return Live(
            capacity_per_s=capacity_per_s,
            asked_per_s=per_s,
            answered=len(it.seen.answers),
            failures=it.seen.codes,
            not_sent=it.seen.not_sent,
            rounds=plan.rounds,
            changes=tuple(changes),
        )


async def _until_served(it: Client) -> None:
    """The gateway may not have the first routes yet; what failed before does not count."""
    while not it.seen.answers:
        await it.capacity_per_s(0.2, in_flight=1)
    it.seen.failures.clear()


async def _aborted(site: Site, it: Client) -> Change:
    await site.apply(steps=_HOLD, bake_rows=_NEVER)
    await site.start(SECOND)
    await site.reaches("CANARY", version=SECOND)
    await _until_answered_by(it, SECOND)
    return await _gone(it, await site.abort(), version=SECOND, kind="abort")


async def _rolled_back(site: Site, it: Client) -> Change:
    await site.apply(steps="", bake_rows=_NEVER)
    await site.start(SECOND)
    await site.reaches("BAKE", version=SECOND)
    await _until_answered_by(it, SECOND)
    return await _gone(it, await site.rollback(), version=SECOND, kind="rollback")


async def _guarded(site: Site, it: Client) -> Change:
    await site.apply(steps=_HOLD, bake_rows=_NEVER)
    await site.start(BROKEN)
    while (newest := await site.newest()).to_state != "ABORTED" or newest.version != BROKEN:
        await asyncio.sleep(0.05)
    return await _gone(it, newest, version=BROKEN, kind="guard")


async def _round(site: Site, it: Client, number: int, *, say: Callable[[str], None]) -> list[Change]:
    """Version 2 all the way up, blue-green or by a short canary, then back to version 1."""
    is_blue_green = number % 2 == 0
    await site.apply(steps="" if is_blue_green else _SHORT, bake_rows=_BAKE_ROWS)
    await site.start(SECOND)
    switched = await site.reaches("BAKE", version=SECOND) if is_blue_green else None
    workers_s = await site.workers_reach(switched, within_s=_SEEN_S) if switched else ()
    await site.reaches("DONE", version=SECOND)
    await _until_answered_by(it, SECOND)
    back = await site.rollback()
    changes = [await _gone(it, back, version=SECOND, kind="rollback")]
    if switched:
        at_s = switched.at.ToNanoseconds() / 1e9
        until_s = back.at.ToNanoseconds() / 1e9
        last_s = last_answer_s(it.seen.answers, FIRST, decided_s=at_s, until_s=until_s)
        changes.append(Change(kind="switch", last_answer_s=last_s, workers_s=workers_s))
    say(f"        round {number + 1}: {_told(changes)}; {len(it.seen.failures):,} failed so far")
    return changes


async def _gone(it: Client, event: RolloutEvent, *, version: str, kind: str) -> Change:
    await asyncio.sleep(_SEEN_S)
    at_s = event.at.ToNanoseconds() / 1e9
    return Change(kind=kind, last_answer_s=last_answer_s(it.seen.answers, version, decided_s=at_s))


async def _until_answered_by(it: Client, version: str) -> None:
    begin = len(it.seen.answers)
    while not any(by == version for _, by, _ in it.seen.answers[begin:]):
        begin = max(begin, len(it.seen.answers) - 100)
        await asyncio.sleep(0.05)


def _told(changes: list[Change]) -> str:
    return ", ".join(f"{change.kind} {change.last_answer_s:.2f} s" for change in changes)
