import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from services.rollout.domain.position import START, Position
from services.rollout.handlers import AT_ONCE, take_each
from slipway.errors import Unavailable


@dataclass
class FakeModel:
    name: str
    position: Position = START
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class FakeControl:
    """Models and their locks, without a log."""

    def __init__(self, *names: str) -> None:
        self.models = {name: FakeModel(name) for name in names}

    @asynccontextmanager
    async def locked(self, name: str) -> AsyncIterator[FakeModel]:
        async with self.models[name].lock:
            yield self.models[name]


async def _take(control: FakeControl, by_model: dict[str, list[int]], take: Any) -> bool:
    return await take_each(control, by_model, take)  # type: ignore[arg-type]


async def test_a_model_whose_lock_is_held_delays_no_other() -> None:
    control, taken, others_done = FakeControl("slow", "a", "b"), [], asyncio.Event()

    async def take(_control: Any, model: FakeModel, records: Sequence[int]) -> None:
        taken.append((model.name, list(records)))
        if len(taken) == 2:
            others_done.set()

    async with control.models["slow"].lock:
        work = asyncio.ensure_future(_take(control, {"slow": [1], "a": [2], "b": [3]}, take))
        await others_done.wait()
        assert taken == [("a", [2]), ("b", [3])]
    assert await work is False
    assert taken[-1] == ("slow", [1])


async def test_says_whether_any_rollout_moved() -> None:
    async def take(_control: Any, model: FakeModel, records: Sequence[int]) -> None:
        model.position = replace(model.position, seq=len(records))

    control = FakeControl("a", "b")
    assert await _take(control, {"a": [], "b": [1]}, take)
    assert not await _take(FakeControl("a"), {"a": []}, take)
    assert not await _take(control, {}, take)


async def test_a_failure_is_raised_when_the_others_are_done() -> None:
    done = []

    async def take(_control: Any, model: FakeModel, _records: Sequence[int]) -> None:
        if model.name == "bad":
            raise Unavailable("gone")
        await asyncio.sleep(0)
        done.append(model.name)

    with pytest.raises(Unavailable, match="gone"):
        await _take(FakeControl("bad", "a"), {"bad": [1], "a": [1]}, take)
    assert done == ["a"]


async def test_only_so_many_are_taken_at_a_time() -> None:
    names = [str(n) for n in range(3 * AT_ONCE)]
    running = most = 0

    async def take(_control: Any, _model: FakeModel, _records: Sequence[int]) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    await _take(FakeControl(*names), {name: [1] for name in names}, take)
    assert most == AT_ONCE
