"""Two calls for one answer: whoever is first wins, and the other is cancelled."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

Answering = Coroutine[Any, Any, bytes]


async def first_answer(
    first: Answering, second: Callable[[], Answering | None], *, delay_s: float
) -> tuple[bytes, bool]:
    """The answer of a call, or of a second one that begins when the first takes longer than `delay_s`.

    Args:
        first: The call.
        second: Asked once, when the delay is over: another call, or None for no second one.
        delay_s: How long the first may take by itself.
    Returns:
        The answer, and whether it was the second's.
    Raises:
        Exception: What the first call raised, when there is no good answer.
    """
    calls = [asyncio.ensure_future(first)]
    try:
        await asyncio.wait(calls, timeout=delay_s)
        if not calls[0].done() and (another := second()) is not None:
            calls.append(asyncio.ensure_future(another))
        winner = await _first_good(calls)
        return await winner, winner is not calls[0]
    finally:
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def _first_good(calls: Sequence[asyncio.Future[bytes]]) -> asyncio.Future[bytes]:
    """The first call that ends well; the first of all where none does."""
    pending = set(calls)
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for call in done:
            if not call.cancelled() and call.exception() is None:
                return call
    return calls[0]
