"""What is done to the servers while they are asked."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal

import psutil
from ledger_files import Ledger

from slipway.ports import ports
from slipway.stack.readiness import tcp_open
from slipway.stack.supervision import ProcessState, Supervision

_LONGEST_S: Final = 300.0
Say = Callable[[str], None]
Kind = Literal["broker restart", "gateway kill -9", "kafka away"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One blow, once so many answers are there."""

    at: int
    kind: Kind


def plan(requests: int, *, broker_restarts: int, gateway_kills: int, is_kafka_away: bool) -> list[Fault]:
    """Blows spread over the run; the outage begins at four tenths, so that others fall into it."""
    spread: list[tuple[Kind, int]] = [("broker restart", broker_restarts), ("gateway kill -9", gateway_kills)]
    faults = [
        Fault(at=requests * (n + 1) // (count + 1), kind=kind) for kind, count in spread for n in range(count)
    ]
    if is_kafka_away:
        faults.append(Fault(at=requests * 4 // 10, kind="kafka away"))
    return sorted(faults, key=lambda fault: fault.at)


class Saboteur:
    """Strikes when it is time."""

    def __init__(
        self, supervision: Supervision, ledger: Ledger, *, requests: int, away_s: float, say: Say
    ) -> None:
        self._supervision = supervision
        self._ledger = ledger
        self._requests = requests
        self._away_s = away_s
        self._say = say
        self._broker = asyncio.Lock()

    async def strike(self, faults: Iterable[Fault]) -> None:
        """All of them, each by itself; returns when what was broken is whole again."""
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                group.create_task(self._one(fault))

    async def _one(self, fault: Fault) -> None:
        while self._ledger.answered < fault.at:
            await asyncio.sleep(0.05)
        self._say(f"        {fault.kind}")
        if fault.kind == "gateway kill -9":
            silence_s = await self._kill_gateway()
        else:
            away_s = self._away_s if fault.kind == "kafka away" else 0.0
            async with self._broker:
                silence_s = await self._take_broker_away(away_s)
        self._ledger.faults.append(
            {"kind": fault.kind, "at": fault.at, "until_next_answer_s": round(silence_s, 2)}
        )

    async def _kill_gateway(self) -> float:
        pid = self._supervision.processes()["gateway"].pid
        if not pid:
            self._say("        the gateway is not there to be killed")
            return 0.0
        family = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
        for each in family:
            os.kill(each, signal.SIGKILL)
        return await self._until_next_answer()

    async def _take_broker_away(self, away_s: float) -> float:
        self._supervision.stop("kafka")
        start_s = time.monotonic()
        while self._supervision.processes()["kafka"].state is not ProcessState.STOPPED:
            await asyncio.sleep(0.1)
        silence = asyncio.ensure_future(self._until_next_answer())  # a strict model's comes when it is back
        await asyncio.sleep(max(0.0, start_s + away_s - time.monotonic()))
        self._supervision.start("kafka")
        while not await tcp_open(ports()["kafka"]):
            await asyncio.sleep(0.2)
        self._say("        Kafka is back")
        return await silence

    async def _until_next_answer(self) -> float:
        """Seconds until a request that is sent from now on is answered, or the run ends."""
        first, start_s = self._ledger.sent, time.monotonic()
        while self._ledger.newest < first and time.monotonic() - start_s < _LONGEST_S:
            if self._ledger.answered >= self._requests:
                break
            await asyncio.sleep(0.01)
        return time.monotonic() - start_s
