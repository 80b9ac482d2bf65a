"""Coalescing: requests for one version that wait while it is busy go together when it is free.

Work-conserving: nothing ever waits while a slot is free, so there is no window to tune.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from services.gateway import metrics, wire
from services.gateway.domain.batching import Columns, count_to_take, join_columns, split_answer
from services.gateway.domain.contract import Contract
from services.gateway.domain.failures import ArmFailed
from services.gateway.domain.routing import Arm
from services.gateway.upstream import Upstream
from slipway.clock import Clock
from slipway.errors import DeadlineExceeded, InvalidInput, Overloaded, SlipwayError

log = logging.getLogger(__name__)

_MAX_BATCH_BYTES: Final = 3 * 1024 * 1024  # leaves room below the 4 MiB that servers take as a default


@dataclass(slots=True, eq=False)
class _Work:
    columns: Columns
    rows: int
    size_bytes: int
    deadline_s: float
    queued_s: float
    answer: "asyncio.Future[Columns]" = field(repr=False)
    batch: "_Batch | None" = None


class _Batch:
    """A call on its way: when the last who waits for it leaves, it is cancelled, also in the server."""

    def __init__(self, task: "asyncio.Task[None]", waiting: int) -> None:
        self._task = task
        self._waiting = waiting

    def leave(self) -> None:
        """One of those who wait does not wait any more."""
        self._waiting -= 1
        if not self._waiting:
            self._task.cancel()


class Lane:
    """The queue and the slots of one version."""

    def __init__(self, arm: Arm, upstream: Upstream, *, clock: Clock, slots: int) -> None:
        self.arm = arm
        self._upstream = upstream
        self._clock = clock
        self._slots = slots
        self._waiting: OrderedDict[int, _Work] = OrderedDict()
        self._waiting_rows = 0
        self._busy = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self._waiting and not self._busy

    def admit(self, contract: Contract, rows: int) -> None:
        """Refuse what the queue has no room for.

        Raises:
            Overloaded: It is full.
        """
        if self._waiting and self._waiting_rows + rows > contract.max_queued_rows:
            raise Overloaded(
                f"{self._waiting_rows} rows wait for {contract.model!r} version {self.arm.version!r}, "
                f"{contract.max_queued_rows} at most; try again later"
            )

    async def submit(self, contract: Contract, columns: Columns, *, rows: int, deadline_s: float) -> Columns:
        """Have rows answered, in company where there is some.

        Raises:
            SlipwayError: The version did not answer, or not in time.
        """
        loop = asyncio.get_running_loop()
        now_s = self._clock.monotonic_s()
        size_bytes = sum(map(len, columns))
        work = _Work(columns, rows, size_bytes, deadline_s, now_s, loop.create_future())
        timer = loop.call_later(max(0.0, deadline_s - now_s), _expire, work)
        self._waiting[id(work)] = work
        self._waiting_rows += rows
        self._dispatch(contract)
        try:
            return await work.answer
        finally:
            timer.cancel()
            self._remove(work)
            if work.batch is not None:
                work.batch.leave()

    def _remove(self, work: _Work) -> None:
        """A caller that left, or whose batch started, no longer takes room in the queue."""
        if self._waiting.pop(id(work), None) is not None:
            self._waiting_rows -= work.rows

    def _dispatch(self, contract: Contract) -> None:
        capacity = self._slots * max(1, self._upstream.count_endpoints(contract.model, self.arm))
        while self._waiting and self._busy < capacity:
            batch = self._take(contract)
            if batch:
                self._busy += 1
                task = asyncio.create_task(self._answer(contract, batch))
                self._tasks.add(task)  # the loop itself holds tasks only weakly
                # Not a `finally` in the task: one that is cancelled before it starts never gets there.
                task.add_done_callback(partial(self._ended, contract, batch))
                joint = _Batch(task, len(batch))
                for work in batch:
                    work.batch = joint

    def _has_room(self, contract: Contract) -> bool:
        """Whether a slot is free and nobody waits for it."""
        return not self._waiting and self._busy < self._slots * self._upstream.count_endpoints(
            contract.model, self.arm
        )

    def _take(self, contract: Contract) -> list[_Work]:
        sizes = ((work.rows, work.size_bytes) for work in self._waiting.values())
        count = count_to_take(sizes, max_rows=contract.max_batch_rows, max_bytes=_MAX_BATCH_BYTES)
        batch = [self._waiting.popitem(last=False)[1] for _ in range(count)]
        self._waiting_rows -= sum(work.rows for work in batch)
        return [work for work in batch if not work.answer.done()]

    def _ended(self, contract: Contract, batch: list[_Work], task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._busy -= 1
        _fail(batch, ArmFailed(f"version {self.arm.version!r}: the call ended without an answer"))
        self._dispatch(contract)

    async def _answer(self, contract: Contract, batch: list[_Work]) -> None:
        try:
            answers = await self._call(contract, batch)
        except ArmFailed as error:
            if len(batch) == 1:
                _fail(batch, error)
            else:
                await self._answer_singly(contract, batch)
        except SlipwayError as error:
            _fail(batch, error)
        else:
            for work, columns in zip(batch, answers, strict=True):
                if not work.answer.done():
                    work.answer.set_result(columns)

    async def _answer_singly(self, contract: Contract, batch: list[_Work]) -> None:
        """One request of a batch may be what the version cannot take: its neighbours must not pay."""
        metrics.SINGLE_RETRIES.labels(contract.model, self.arm.version).inc(len(batch))
        for work in batch:
            if not work.answer.done():
                await self._answer(contract, [work])

    async def _call(self, contract: Contract, batch: list[_Work]) -> list[Columns]:
        start_s = self._clock.monotonic_s()
        labels = (contract.model, self.arm.version)
        queue_seconds = metrics.QUEUE_SECONDS.labels(*labels)
        for work in batch:
            queue_seconds.observe(start_s - work.queued_s)
        rows = [work.rows for work in batch]
        request = wire.write_call(
            contract.model,
            self.arm.version,
            inputs=contract.signature.inputs,
            columns=join_columns([work.columns for work in batch]),
            rows=sum(rows),
        )
        deadline_s = max(work.deadline_s for work in batch)
        data = await self._upstream.infer(
            contract.model,
            self.arm,
            request=request,
            deadline_s=deadline_s,
            rows=sum(rows),
            hedge_share=contract.hedge_share if len(batch) == 1 else 0.0,
            may_hedge=partial(self._has_room, contract),
        )
        metrics.COMPUTE_SECONDS.labels(*labels).observe(self._clock.monotonic_s() - start_s)
        metrics.BATCH_ROWS.labels(*labels).observe(sum(rows))
        try:
            return split_answer(contract.signature.outputs, wire.read_answer(data), rows=rows)
        except InvalidInput as error:
            raise ArmFailed(f"version {self.arm.version!r} answered nonsense: {error}") from error


class Lanes:
    """One lane for each version in use."""

    def __init__(self, upstream: Upstream, clock: Clock, *, slots: int) -> None:
        self._upstream = upstream
        self._clock = clock
        self._slots = slots
        self._lanes: dict[tuple[str, str, str], Lane] = {}

    def lane(self, model: str, arm: Arm) -> Lane:
        """The lane of an arm."""
        key = (model, arm.version, arm.upstream)
        found = self._lanes.get(key)
        if found is None:
            found = self._lanes[key] = Lane(arm, self._upstream, clock=self._clock, slots=self._slots)
        return found

    def prune(self, in_use: Collection[tuple[str, str, str]]) -> None:
        """Forget idle lanes of versions that no route names any more."""
        for key in [k for k, lane in self._lanes.items() if k not in in_use and lane.is_idle]:
            del self._lanes[key]


def _expire(work: _Work) -> None:
    if not work.answer.done():
        work.answer.set_exception(DeadlineExceeded("the time for the request ran out before the answer came"))


def _fail(batch: list[_Work], error: SlipwayError) -> None:
    for work in batch:
        if not work.answer.done():
            work.answer.set_exception(error)
