"""A closed loop of callers that note every answer and every failure."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import grpc
import grpc.aio
from ledger_files import Ledger

from slipway.oip import open_inference_pb2 as oip

_METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"
_CHANNELS: Final = 4
_TIMEOUT_S: Final = 10.0
_PAUSE_S: Final = 0.1  # after a failure: a gateway that is away is asked ten times a second by each caller
_OPTIONS: Final = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
_SAVE_S: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Load:
    """Whom to ask what, until when."""

    address: str
    metadata: tuple[tuple[str, str], ...]
    body: bytes
    requests: int  # answered
    in_flight: int


async def drive(load: Load, ledger: Ledger, *, say: Callable[[str], None]) -> None:
    """Ask until so many answers are in the ledger."""
    channels = [grpc.aio.insecure_channel(load.address, options=_OPTIONS) for _ in range(_CHANNELS)]
    calls: list[Any] = [channel.unary_unary(_METHOD) for channel in channels]
    try:
        async with asyncio.TaskGroup() as group:
            clerk = group.create_task(_keep_books(load, ledger, say=say))
            callers = [
                group.create_task(_ask(load, calls[n % _CHANNELS], ledger)) for n in range(load.in_flight)
            ]
            await asyncio.wait(callers)
            clerk.cancel()
    finally:
        ledger.save()
        for channel in channels:
            await channel.close()


async def _ask(load: Load, call: Any, ledger: Ledger) -> None:
    while ledger.answered < load.requests:
        number = ledger.sent
        ledger.sent += 1
        # The client's own id, appended: serialized messages that follow each other are merged.
        body = load.body + oip.ModelInferRequest(id=f"{number:x}").SerializeToString()
        try:
            raw = await call(body, metadata=load.metadata, timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            ledger.add_failure(number, error.code().name)
            await asyncio.sleep(_PAUSE_S)
            continue
        parameters = oip.ModelInferResponse.FromString(raw).parameters
        ledger.add_answer(
            parameters["slipway_prediction_id"].string_param,
            number,
            is_unrecorded="slipway_unrecorded" in parameters,
        )


async def _keep_books(load: Load, ledger: Ledger, *, say: Callable[[str], None]) -> None:
    """Save every second, and say every five how far it is."""
    before, since_s, ticks = ledger.answered, time.monotonic(), 0
    while True:
        await asyncio.sleep(_SAVE_S)
        now_s = time.monotonic()
        ledger.seconds += now_s - since_s
        rate, before, since_s, ticks = (
            (ledger.answered - before) / (now_s - since_s),
            ledger.answered,
            now_s,
            ticks + 1,
        )
        ledger.save()
        if ticks % 5 == 0:
            share = ledger.answered / load.requests
            failed = sum(ledger.codes.values())
            say(f"{share:6.1%}  {ledger.answered:,} answered, {failed:,} failed, {rate:,.0f}/s")
