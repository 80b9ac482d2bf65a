"""An open loop in a process of its own: requests leave by the clock, whatever happens to those before.

Reads one JSON line of what to do, writes what became of each request as JSON to a file: a pipe may have been
made non-blocking by a library of this process, and would then be cut short without a word.
"""

import asyncio
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import grpc.aio
import orjson
import uvloop

METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"
CONNECTIONS: Final = 4
MOST_AT_ONCE: Final = 20_000


async def drive(target: str, data: bytes, *, key: str, phases: list[dict[str, float]]) -> dict[str, Any]:
    """Run phases of {seconds, per_s, within_s} one after the other."""
    channels = [
        grpc.aio.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)])
        for _ in range(CONNECTIONS)
    ]
    calls: list[Any] = [channel.unary_unary(METHOD) for channel in channels]
    metadata = (("authorization", f"Bearer {key}"),)
    seen: list[tuple[float, float, str]] = []
    behind = Counter[str]()
    start_s = time.perf_counter()

    async def ask(call: Any, within_s: float) -> None:
        sent_s = time.perf_counter()
        try:
            await call(data, metadata=metadata, timeout=within_s)
            code = "OK"
        except grpc.aio.AioRpcError as error:
            code = error.code().name
        seen.append((sent_s - start_s, time.perf_counter() - start_s, code))

    async with asyncio.TaskGroup() as tasks:
        due_s = start_s
        open_tasks: set[asyncio.Task[None]] = set()
        for phase in phases:
            for number in range(int(phase["seconds"] * phase["per_s"])):
                due_s += 1 / phase["per_s"]
                await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
                if time.perf_counter() - due_s > 0.1:
                    behind["sends"] += 1
                if len(open_tasks) >= MOST_AT_ONCE:
                    behind["not_sent"] += 1
                    continue
                task = tasks.create_task(ask(calls[number % CONNECTIONS], phase["within_s"]))
                open_tasks.add(task)
                task.add_done_callback(open_tasks.discard)
    for channel in channels:
        await channel.close()
    return {"seen": seen, "behind": dict(behind)}


def main() -> None:
    """Take one order from standard input."""
    order = orjson.loads(sys.stdin.buffer.readline())
    data = bytes.fromhex(order["data"])
    result = uvloop.run(drive(order["target"], data, key=order["key"], phases=order["phases"]))
    Path(order["out"]).write_bytes(orjson.dumps(result))


if __name__ == "__main__":
    main()
