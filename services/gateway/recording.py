"""How safe the record of an answer must be before the answer is given, and what when there is no room.

standard: in a segment file, one write(2). fsync: on the disk; one fsync for all who wait at that moment.
broker: acknowledged by Kafka. An answer that is not safe in time is not given, and a second record says so.
"""

import asyncio
import logging
from typing import Final, Protocol

from services.gateway import metrics, records
from services.gateway.domain.contract import Contract
from services.gateway.gaps import Gaps
from services.gateway.milestone import Milestone, Position
from services.gateway.records import Prediction
from services.gateway.segments import sync
from services.gateway.spool import Spool
from slipway.changes import Changes, waking
from slipway.clock import Clock
from slipway.errors import Overloaded, SlipwayError, Unavailable
from slipway.rpc import status_of

log = logging.getLogger(__name__)

_FULL_RETRY_S: Final = 5.0
_STRICT_RETRY_S: Final = 1.0
_LOOK_S: Final = 1.0
_FULL: Final = (
    "the records of earlier predictions fill the disk space set aside for them; "
    "new ones are taken again when Kafka is back or the disk has room"
)


class Debtor(Protocol):
    """Who owes acknowledgements of the broker."""

    def owed_s(self) -> float:
        """For how long."""
        ...


class GroupCommit:
    """One fsync, in a thread, for all who wait when it begins."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._asked = Changes()
        self._synced = Milestone(Position(0, 0))

    async def passed(self, place: Position) -> None:
        """Return when the disk has everything before `place`.

        Raises:
            Unavailable: The disk did not confirm it.
        """
        self._asked.notify()
        await self._synced.passed(place)

    async def run(self, stop: asyncio.Event) -> None:
        """Sync while anybody waits."""
        async with waking(self._asked, stop):
            while not stop.is_set() or self._synced.is_awaited:
                revision = self._asked.revision
                if self._synced.is_awaited:
                    await self._sync()
                else:
                    await self._asked.wait_beyond(revision, timeout_s=_LOOK_S)

    async def _sync(self) -> None:
        end, paths = self._spool.end, self._spool.paths_since(self._synced.at)
        try:
            await asyncio.to_thread(sync, paths)
        except OSError as error:
            # Linux reports a lost write once: a second fsync of that file would lie.
            self._spool.leave_segment()
            log.error("the disk does not confirm records: %r", error)
            self._synced.fail(Unavailable(f"the disk does not confirm records: {error}"))
            return
        metrics.FSYNCS.inc()
        self._synced.reach(end)


class Recording:
    """Keeps the records of predictions."""

    def __init__(self, spool: Spool, gaps: Gaps, *, debtor: Debtor, clock: Clock) -> None:
        self.commit = GroupCommit(spool)
        self._spool = spool
        self._gaps = gaps
        self._debtor = debtor
        self._clock = clock
        self._passed = {"fsync": self.commit.passed, "broker": spool.shipped.passed}

    def check_room(self, contract: Contract) -> None:
        """Refuse what the model's spec lets nobody answer now.

        Raises:
            Overloaded: There is no room for a record.
        """
        if self._spool.is_full and not contract.counts_unrecorded:
            raise Overloaded(_FULL, retry_after_s=_FULL_RETRY_S)

    def check_safety(self, contract: Contract) -> None:
        """Refuse what would only wait in vain for its record to be safe.

        Raises:
            Unavailable: The model waits for Kafka, which has owed for longer than its requests may take.
        """
        if contract.recording == "broker" and self._debtor.owed_s() > contract.timeout_s:
            raise Unavailable(
                f"answers of model {contract.model!r} wait until Kafka has their records, and Kafka is away",
                retry_after_s=_STRICT_RETRY_S,
            )

    def keep(self, prediction: Prediction, record: bytes) -> None:
        """Write the record of an answer.

        Raises:
            Overloaded: The disk takes it not, and the spec does not do without.
        """
        contract = prediction.contract
        if contract.counts_unrecorded and self._spool.is_full:
            self._miss(prediction)
            return
        try:
            self._spool.append_packed((record,))
        except Overloaded:
            if not contract.counts_unrecorded:
                raise
            self._miss(prediction)

    def keep_failure(self, prediction: Prediction, record: bytes) -> None:
        """Write the record of a failure; without room it is counted, and the caller learns of the failure."""
        try:
            if not self._spool.is_full:
                self._spool.append_packed((record,))
                return
        except Overloaded:
            pass
        self._gaps.add(prediction.caller.tenant, prediction.contract.model, kind="failed")

    async def settle(self, prediction: Prediction, *, start_s: float, deadline_s: float) -> None:
        """Wait until the record that was just kept is as safe as the model wants it.

        Raises:
            Unavailable: It was not in time. The answer must not be given; a second record says so.
        """
        recording, now_s = prediction.contract.recording, self._clock.monotonic_s()
        try:
            async with asyncio.timeout(deadline_s - now_s):
                await self._passed[recording](self._spool.end)
        except (TimeoutError, Unavailable) as error:
            message = str(error) or f"the record was not safe in time ({recording}); the answer is withheld"
            failure = Unavailable(message, retry_after_s=_STRICT_RETRY_S)
            self._withhold(prediction, failure, start_s=start_s)
            raise failure from error
        except asyncio.CancelledError:
            self._withhold(prediction, None, start_s=start_s)
            raise
        metrics.RECORD_WAIT_SECONDS.labels(recording).observe(self._clock.monotonic_s() - now_s)

    def _withhold(self, prediction: Prediction, error: SlipwayError | None, *, start_s: float) -> None:
        contract = prediction.contract
        metrics.WITHHELD.labels(contract.model, contract.recording).inc()
        record = records.withheld(
            prediction,
            code="CANCELLED" if error is None else status_of(error).name,
            message="the caller had left" if error is None else str(error),
            now_s=self._clock.now_s(),
            latency_s=self._clock.monotonic_s() - start_s,
        )
        try:
            self._spool.append_packed((record,))
        except Overloaded:
            log.error("an answer was withheld and its record cannot say so", extra={"model": contract.model})

    def _miss(self, prediction: Prediction) -> None:
        prediction.is_recorded = False
        self._gaps.add(prediction.caller.tenant, prediction.contract.model, kind="answered")
