"""Coalescing: requests for one version that wait while it is busy go together when it is free.

Work-conserving: nothing waits while a slot is free, but for those that the busy event loop is about to take
in; there is no window to tune. What is let in, who goes together and whether somebody is on the way is
decided by `domain.lane_policy`; here are the tasks, the calls and the answers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from services.gateway import metrics, wire
from services.gateway.arm_metrics import arm_metrics
from services.gateway.domain import admission, priorities
from services.gateway.domain.batching import Columns, join_columns, split_answer
from services.gateway.domain.contract import Contract
from services.gateway.domain.failures import ArmFailed
from services.gateway.domain.lane_policy import Call, LanePolicy
from services.gateway.domain.routing import Arm
from services.gateway.lane_work import Running, Work, defend_answered, defend_together, expire, fail
from services.gateway.records import Prediction
from services.gateway.stages import COMPUTE, QUEUE, UNMEASURED, Stages
from services.gateway.upstream import Upstream
from slipway.clock import Clock
from slipway.errors import DeadlineExceeded, InvalidInput, Overloaded, SlipwayError

_MEANWHILE_S: Final = 0.0002  # by then a call is on the wire
_REFUSALS: Final = {reason: metrics.REFUSALS.labels(reason) for reason in admission.REASONS}
_UNSENT: Final = "too little time was left for an answer when the request's turn came; it was not sent"


class Lane:
    """The queue and the slots of one version."""

    def __init__(self, arm: Arm, upstream: Upstream, *, clock: Clock, slots: int) -> None:
        self.arm = arm
        self._upstream = upstream
        self._clock = clock
        self._slots = slots
        self._policy: LanePolicy[Work] = LanePolicy()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_looking = False  # whether a dispatch is due in the next turn of the event loop

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self._policy.in_flight and not self._policy.running

    def admit(
        self,
        contract: Contract,
        rows: int,
        *,
        level: int = priorities.DEFAULT,
        deadline_s: float | None = None,
    ) -> None:
        """Refuse at once what has no room, or would wait in vain.

        Raises:
            Overloaded: With the time after which to try again.
        """
        refusal = self._refusal(contract, rows, level=level, deadline_s=deadline_s)
        if refusal is not None:
            _REFUSALS[refusal.reason].inc()
            raise Overloaded(
                f"{contract.model!r} version {self.arm.version!r} is overloaded: {refusal.text}; "
                f"try again in {refusal.retry_after_s:.3f} s",
                retry_after_s=refusal.retry_after_s,
            )

    def is_crowded(self, contract: Contract, rows: int) -> bool:
        """Whether a request of the lowest level would be refused now."""
        return self._refusal(contract, rows, level=priorities.LAST, deadline_s=None) is not None

    async def submit(
        self,
        contract: Contract,
        columns: Columns,
        *,
        rows: int,
        deadline_s: float,
        level: int = priorities.DEFAULT,
        stages: Stages = UNMEASURED,
        charge: Callable[[float], None] | None = None,
        prediction: Prediction | None = None,
    ) -> Columns:
        """Have rows answered, in company where there is some; `charge` is told the seconds of their part.

        The prediction that they belong to is defended in the same company, if it is given.

        Raises:
            SlipwayError: The version did not answer, or not in time.
        """
        loop = asyncio.get_running_loop()
        now_s = self._clock.monotonic_s()
        size_bytes = sum(map(len, columns))
        work = Work(columns, rows, size_bytes, level, deadline_s, now_s, loop.create_future(), prediction)
        timer = loop.call_later(max(0.0, deadline_s - now_s), expire, work)
        self._policy.queue(work)
        self._dispatch(contract)
        try:
            answer = await work.answer
        finally:
            timer.cancel()
            self._leave(work)
        end_s = self._clock.monotonic_s()
        if charge is not None:
            charge((end_s - work.started_s) * work.share)
        stages.split((QUEUE, work.started_s - work.queued_s), (COMPUTE, end_s - work.started_s))
        return answer

    def tell(self, model: str) -> None:
        """Set the gauges."""
        labels = (model, self.arm.version)
        metrics.QUEUED_ROWS.labels(*labels).set(self._policy.line.rows)
        metrics.SLOTS_BUSY.labels(*labels).set(len(self._policy.running))
        metrics.IN_FLIGHT_LIMIT.labels(*labels).set(self._policy.limit.value)

    def _refusal(
        self, contract: Contract, rows: int, *, level: int, deadline_s: float | None
    ) -> admission.Refusal | None:
        now_s = self._clock.monotonic_s()
        return self._policy.admit(
            contract,
            rows,
            level=level,
            deadline_s=now_s + contract.timeout_s if deadline_s is None else deadline_s,
            now_s=now_s,
            slots=self._capacity(contract),
        )

    def _capacity(self, contract: Contract) -> int:
        return self._slots * max(1, self._upstream.count_endpoints(contract.model, self.arm))

    def _leave(self, work: Work) -> None:
        """A caller that left takes no room in the queue, and a call without callers no slot."""
        running = work.running
        if running is None:
            self._policy.leave(work)
            return
        running.callers -= 1
        if not running.callers:
            running.task.cancel()  # which a call that has ended does not notice

    def _look(self, contract: Contract) -> None:
        self._is_looking = False
        self._dispatch(contract)

    def _dispatch(self, contract: Contract) -> None:
        policy = self._policy
        while not self._is_looking and policy.line.count and len(policy.running) < self._capacity(contract):
            now_s = self._clock.monotonic_s()
            if policy.gathers(contract, now_s):
                self._is_looking = True
                asyncio.get_running_loop().call_soon(self._look, contract)
                break
            call, late = policy.start(contract, now_s)
            if late:
                arm_metrics(contract.model, self.arm.version).unsent.inc(len(late))
                fail(late, DeadlineExceeded(_UNSENT))
            if call is not None:
                task = asyncio.create_task(self._answer(contract, call.members, call))
                self._tasks.add(task)  # the loop itself holds tasks only weakly
                task.add_done_callback(partial(self._end, contract, call))
                running = Running(task, len(call.members))
                for work in call.members:
                    work.running = running

    def _end(self, contract: Contract, call: Call[Work], task: "asyncio.Task[None]") -> None:
        """Free the slot; a callback, as a task that is cancelled before it began runs no `finally`."""
        self._tasks.discard(task)
        self._policy.end(call, now_s=self._clock.monotonic_s())
        fail(call.members, ArmFailed(f"version {self.arm.version!r}: the call ended without an answer"))
        self._dispatch(contract)
        if not task.cancelled():
            task.result()  # what nobody expected is logged by the loop

    def _has_room(self, contract: Contract) -> bool:
        """Whether a slot is free and nobody waits for it."""
        return not self._policy.line.count and len(self._policy.running) < self._capacity(contract)

    async def _answer(self, contract: Contract, batch: Sequence[Work], call: Call[Work] | None) -> None:
        try:
            answers = await self._call(contract, batch, call)
        except ArmFailed as error:
            if len(batch) == 1:
                fail(batch, error)
            else:
                await self._answer_singly(contract, batch)
        except SlipwayError as error:
            fail(batch, error)
        else:
            defend_answered(batch, answers)
            for work, columns in zip(batch, answers, strict=True):
                if not work.answer.done():
                    work.answer.set_result(columns)

    async def _answer_singly(self, contract: Contract, batch: Sequence[Work]) -> None:
        """One request of a batch may be what the version cannot take: its neighbours must not pay."""
        arm_metrics(contract.model, self.arm.version).single_retries.inc(len(batch))
        for work in batch:
            if not work.answer.done():
                await self._answer(contract, [work], None)

    async def _call(
        self, contract: Contract, batch: Sequence[Work], call: Call[Work] | None
    ) -> list[Columns]:
        """One call to the version; `call` is None for a second try, which says nothing of its speed."""
        children = arm_metrics(contract.model, self.arm.version)
        start_s = self._clock.monotonic_s()
        all_rows = sum(work.rows for work in batch)
        for work in batch:
            work.started_s = start_s
            children.queue_seconds.observe(start_s - work.queued_s)
            work.share = work.rows / all_rows
        rows = [work.rows for work in batch]
        request = wire.write_call(
            contract.model,
            self.arm.version,
            inputs=contract.signature.inputs,
            columns=join_columns([work.columns for work in batch]),
            rows=all_rows,
        )
        deadline_s = max(work.deadline_s for work in batch)
        ask = partial(
            self._upstream.infer,
            contract.model,
            self.arm,
            request=request,
            deadline_s=deadline_s,
            rows=all_rows,
            hedge_share=contract.hedge_share if len(batch) == 1 else 0.0,
            may_hedge=partial(self._has_room, contract),
        )
        # The version computes: time to look at what it was sent.
        meanwhile = asyncio.get_running_loop().call_later(_MEANWHILE_S, defend_together, batch)
        data = await self._learning(contract, ask, call=call)
        meanwhile.cancel()
        children.compute_seconds.observe(self._clock.monotonic_s() - start_s)
        children.batch_rows.observe(all_rows)
        try:
            return split_answer(contract.signature.outputs, wire.read_answer(data), rows=rows)
        except InvalidInput as error:
            raise ArmFailed(f"version {self.arm.version!r} answered nonsense: {error}") from error

    async def _learning(
        self, contract: Contract, ask: Callable[[], Awaitable[bytes]], *, call: Call[Work] | None
    ) -> bytes:
        """Call the version and learn from how long it took."""
        try:
            data = await ask()
        except (asyncio.CancelledError, DeadlineExceeded) as error:
            if call is not None:
                self._policy.given_up(call, now_s=self._clock.monotonic_s())
            if isinstance(error, asyncio.CancelledError):
                arm_metrics(contract.model, self.arm.version).abandoned_calls.inc()
            raise
        if call is not None:
            now_s = self._clock.monotonic_s()
            self._policy.answered(contract, call, now_s=now_s, slots=self._capacity(contract))
        return data
