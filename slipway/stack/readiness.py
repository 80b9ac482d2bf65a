"""Quick looks at a part: each answers yes or no within a second."""

import asyncio
from typing import Final

LOOPBACK: Final = "127.0.0.1"
_TIMEOUT_S: Final = 1.5


async def tcp_open(port: int) -> bool:
    """Whether something accepts connections on a loopback port."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            _, writer = await asyncio.open_connection(LOOPBACK, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def http_ok(port: int, path: str, *, authorization: str = "") -> bool:
    """Whether a GET on a loopback port is answered with 200, to whoever shows this."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            return await _status_line(port, path, authorization)
    except (OSError, TimeoutError):
        return False


async def _status_line(port: int, path: str, authorization: str) -> bool:
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        request = f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}:{port}\r\nConnection: close\r\n"
        shown = f"Authorization: {authorization}\r\n" if authorization else ""
        writer.write(f"{request}{shown}\r\n".encode())
        await writer.drain()
        version, _, rest = (await reader.readline()).decode("latin-1").partition(" ")
        return version.startswith("HTTP/") and rest.startswith("200")
    finally:
        writer.close()
