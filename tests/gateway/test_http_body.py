import gzip
import zlib
from typing import Any

import pytest

from services.gateway.http_body import CallerGone, read_body
from slipway.errors import InvalidInput
from slipway.rpc import MAX_MESSAGE_BYTES
from slipway.web import TooLarge, UnsupportedEncoding


class Sender:
    """Gives parts one by one; `asked` counts how often it was asked for one."""

    def __init__(self, *parts: bytes, leaves: bool = False) -> None:
        self._parts = list(parts)
        self._leaves = leaves
        self.asked = 0

    async def __call__(self) -> Any:
        self.asked += 1
        if not self._parts:
            return {"type": "http.disconnect"}
        part = self._parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(self._parts) or self._leaves}


async def read(sender: Sender, **headers: str) -> bytes:
    return await read_body({k.replace("_", "-").encode(): v.encode() for k, v in headers.items()}, sender)


async def test_parts_are_put_together() -> None:
    assert await read(Sender(b"whole")) == b"whole"
    assert await read(Sender(b"a", b"", b"bc")) == b"abc"


async def test_too_much_is_refused_before_it_is_read() -> None:
    sender = Sender(b"x")
    with pytest.raises(TooLarge):
        await read(sender, content_length=str(100_000_000))
    assert sender.asked == 0


async def test_too_much_is_refused_as_it_comes() -> None:
    sender = Sender(*[b"x" * 1_000_000] * 100)
    with pytest.raises(TooLarge):
        await read(sender)
    assert sender.asked == MAX_MESSAGE_BYTES // 1_000_000 + 1


async def test_one_that_leaves_is_not_waited_for() -> None:
    with pytest.raises(CallerGone):
        await read(Sender())
    with pytest.raises(CallerGone):
        await read(Sender(b"half", leaves=True))


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_compressed_bodies_are_read_and_bombs_are_not(encoding: str, pack: Any) -> None:
    packed = pack(b"hello")
    assert await read(Sender(packed[:3], packed[3:]), content_encoding=encoding.upper()) == b"hello"
    bomb = pack(b"\0" * 100_000_000)
    assert len(bomb) < 200_000
    with pytest.raises(TooLarge):
        await read(Sender(bomb), content_encoding=encoding)
    for broken in (packed[:-3], packed + packed, b"nonsense", b""):
        with pytest.raises(InvalidInput, match=encoding):
            await read(Sender(broken), content_encoding=encoding)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", ""])
async def test_other_encodings_are_not_guessed(encoding: str) -> None:
    sender = Sender(b"x")
    with pytest.raises(UnsupportedEncoding, match="send gzip, deflate, or neither"):
        await read(sender, content_encoding=encoding)
    assert sender.asked == 0
