"""Callers whose questions look like an attempt to copy a model, as the topic `extraction_alarms` tells."""

import asyncio
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError

from services.gateway.domain.contract import Contract
from services.gateway.domain.framing import frame
from services.gateway.snapshots import read_messages
from slipway.changes import Changes, until
from slipway.envelope import Event
from slipway.errors import Denied
from slipway.identity.caller import Caller
from slipway.v1.extraction_pb2 import ExtractionCleared, ExtractionSuspected

SNAPSHOT: Final = "suspects.snapshot"
_NONE: Final = "none"
_REFUSE: Final = "refuse"

_Key = tuple[str, str, str]


class Suspects:
    """Who is suspected now, by tenant, principal and model."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.caught_up = asyncio.Event()
        self._is_restored = False
        self._alarms: dict[_Key, ExtractionSuspected] = {}

    @property
    def is_known(self) -> bool:
        """Whether all alarms have been read: from the topic, or from the last snapshot."""
        return self._is_restored or self.caught_up.is_set()

    def apply(self, event: Event) -> None:
        """Take an alarm, or the end of one, in."""
        message = event.message
        key = message.tenant, message.principal, message.model
        if isinstance(message, ExtractionCleared):
            self._alarms.pop(key, None)
        else:
            self._alarms[key] = message
        self.changes.notify()

    def meet(self, caller: Caller, contract: Contract) -> str:
        """What the spec wants done with this caller's request: flag, review, or nothing where it is empty.

        Raises:
            Denied: It wants suspects refused.
        """
        if not self._alarms or contract.defence.extraction.action == _NONE:
            return ""
        alarm = self._alarms.get((caller.tenant, caller.principal, contract.model))
        if alarm is None:
            return ""
        if contract.defence.extraction.action == _REFUSE:
            raise Denied(
                f"requests to {contract.model!r} are refused: this caller's questions look like an "
                f"attempt to copy the model (alarm {alarm.alarm_id}); ask an operator to look at it"
            )
        return contract.defence.extraction.action

    async def note_caught_up(self, stop: asyncio.Event) -> None:
        """Make what is known worth keeping, even where it is that nobody is suspected."""
        await until(stop, self._tell_caught_up)

    async def _tell_caught_up(self) -> None:
        await self.caught_up.wait()
        self.changes.notify()

    def dump(self) -> bytes | None:
        """All alarms, once they are known."""
        if not self.is_known:
            return None
        return b"".join(frame(alarm.SerializeToString()) for alarm in self._alarms.values())

    def restore(self, state_dir: Path) -> None:
        """Take what the snapshot holds, if it is there and whole."""
        payloads = read_messages(state_dir / SNAPSHOT)
        if payloads is None:
            return
        try:
            alarms = [ExtractionSuspected.FromString(payload) for payload in payloads]
        except DecodeError:
            return
        self._alarms = {(a.tenant, a.principal, a.model): a for a in alarms}
        self._is_restored = True
