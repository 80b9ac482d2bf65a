"""Hundreds of live rollouts in one controller: does one that is stuck delay the others' decisions?

Replicas and predictions are what the run says they are: the service is alone with Kafka and PostgreSQL.
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import uvloop
from rollouts_judge import Many

from services.rollout.domain.harm import ONLY_FAILURES
from tests.rollout import bench
from tests.rollout.bench import Bench
from tests.rollout.empty_registry import empty_registry
from tests.service_process import ServiceProcess

_SPEC: Final = """name: {name}
task: binary
features: [{{name: a}}, {{name: b}}]
label: {{name: y, classes: ["0", "1"]}}
rollout:
  steps: [{{weight_percent: {first}, min_rows: {rows}}}, {{weight_percent: 90, min_rows: 1000000000}}]
  warm_deadline_s: 100000
  deadline_s: 100000
"""
_AT_ONCE: Final = 16
_LOOK_S: Final = 0.2
_WITHIN_S: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _One:
    """One model of the many."""

    it: Bench
    first: int  # per cent of the first step
    rows: int


Act = Callable[[_One], Awaitable[object]]


async def _promote(one: _One) -> None:
    await one.it.apply(_SPEC.format(name=one.it.model, first=one.first, rows=one.rows))
    await one.it.start("1")


def measure(models: int, stuck: int, *, say: Callable[[str], None]) -> Many:
    """So many rollouts through their first step and into a guard, beside so many that are stuck."""
    with (
        tempfile.TemporaryDirectory() as folder,
        empty_registry() as url,
        bench.rollout_service(Path(folder) / "rollout", SLIPWAY_MLFLOW_URL=url) as service,
    ):
        service.start()
        service.wait_ready()
        return uvloop.run(_measure_in(service, models, stuck, say=say))


async def _measure_in(
    service: ServiceProcess, models: int, stuck: int, *, say: Callable[[str], None]
) -> Many:
    async with bench.bench(service) as it:
        return await _measure(it, models, stuck, say=say)


async def _measure(it: Bench, models: int, stuck: int, *, say: Callable[[str], None]) -> Many:
    made = [
        _One(it=replace(it, model=f"{it.model}-{n}"), first=5 + n % 40, rows=20 + n % 30)
        for n in range(models + stuck)
    ]
    say(f"        {models} rollouts, {stuck} stuck beside them")
    await _each(made, _promote)
    await _all(it, made, "DONE")
    moving, hanging = made[:models], made[models:]
    it.replicas.silent |= {(one.it.model, "2") for one in hanging}
    it.replicas.states |= {(one.it.model, "2"): ("LOADING", "") for one in moving}
    await _each(made, lambda one: one.it.start("2"))
    await _all(it, moving, "WARMING")
    delays: dict[str, tuple[float, ...]] = {}
    for kind, ones, cause, state in (
        ("its replicas are ready", moving, _get_ready, "CANARY"),
        ("its step has its rows", moving[::2], _pass_step, "CANARY"),
        ("its guard fails", moving[1::2], _fail_guard, "ABORTED"),
    ):
        before = {model: seq for model, (seq, _, _) in (await _newest(it)).items()}
        due = await _due(ones, cause)
        delays[kind] = await _delays(it, due, state=state, before=before)
        say(f"        {kind}: longest {max(delays[kind]):.2f} s")
    return Many(models=models, stuck=stuck, delays_s=delays)


async def _due(ones: Sequence[_One], cause: Act) -> dict[str, float]:
    """When the decision about each model became possible."""
    due: dict[str, float] = {}

    async def note(one: _One) -> None:
        await cause(one)
        due[one.it.model] = time.time()

    await _each(ones, note)
    return due


async def _get_ready(one: _One) -> None:
    one.it.replicas.states[one.it.model, "2"] = ("READY", "")


async def _pass_step(one: _One) -> None:
    epoch = (await one.it.status()).routes.epoch
    own = max(1, round(one.rows * one.first / 100))
    await one.it.serve(own, version="2", epoch=epoch)
    await one.it.serve(one.rows - own, version="1", epoch=epoch)


async def _fail_guard(one: _One) -> None:
    epoch = (await one.it.status()).routes.epoch
    await one.it.fail(ONLY_FAILURES, version="2", epoch=epoch)


async def _each(ones: Sequence[_One], act: Act) -> None:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one_turn(one: _One) -> None:
        async with turns:
            await act(one)

    async with asyncio.TaskGroup() as group:
        for one in ones:
            group.create_task(one_turn(one))


async def _newest(it: Bench) -> dict[str, tuple[int, str, float]]:
    """The newest entry of each model: seq, state, time."""
    rows = await it.database.fetch(
        "SELECT DISTINCT ON (model) model, seq, to_state, extract(epoch FROM at)::float AS at_s "
        "FROM rollout_log ORDER BY model, seq DESC"
    )
    return {row["model"]: (row["seq"], row["to_state"], row["at_s"]) for row in rows}


async def _all(it: Bench, ones: Sequence[_One], state: str) -> None:
    deadline_s = time.monotonic() + _WITHIN_S
    while True:
        newest = await _newest(it)
        missing = [one.it.model for one in ones if newest.get(one.it.model, (0, "", 0.0))[1] != state]
        if not missing:
            return
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{len(missing)} models are not {state}, {missing[0]} for one")
        await asyncio.sleep(_LOOK_S)


async def _delays(
    it: Bench, due: dict[str, float], *, state: str, before: dict[str, int]
) -> tuple[float, ...]:
    """How long after it was possible each decision stands in the log."""
    deadline_s = time.monotonic() + _WITHIN_S
    while True:
        newest = await _newest(it)
        moved = {m: e for m, e in newest.items() if m in due and e[0] > before[m] and e[1] == state}
        if len(moved) == len(due):
            return tuple(max(0.0, moved[model][2] - due_s) for model, due_s in due.items())
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{len(due) - len(moved)} of {len(due)} models did not come to {state}")
        await asyncio.sleep(_LOOK_S)
