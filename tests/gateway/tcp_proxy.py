"""A TCP proxy that can stall, slice, delay and reset what goes through it."""

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, Literal

Mode = Literal["pass", "stall", "slice", "late"]
_LATE_S: Final = 0.1
_LOOK_S: Final = 0.01
_NO_LINGER: Final = struct.pack("ii", 1, 0)  # close() sends RST


class TcpProxy:
    """One listening port in front of another. `mode` may be set at any time, from any thread."""

    def __init__(self, target_port: int) -> None:
        self.mode: Mode = "pass"
        self.port = 0
        self._target_port = target_port
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    def reset(self) -> None:
        """Reset every connection, at once."""
        asyncio.run_coroutine_threadsafe(self._reset(), self._loop).result(10)

    async def _reset(self) -> None:
        for writer in list(self._writers):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            writer.transport.abort()

    async def _serve(self) -> asyncio.Server:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            ahead_reader, ahead_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, ahead_writer}
        self._writers |= both
        try:
            await asyncio.gather(self._pump(reader, ahead_writer), self._pump(ahead_reader, writer))
        finally:
            self._writers -= both
            for one in both:
                one.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                while self.mode == "stall":
                    await asyncio.sleep(_LOOK_S)
                if self.mode == "late":
                    await asyncio.sleep(_LATE_S)
                pieces = [data[at : at + 1] for at in range(len(data))] if self.mode == "slice" else [data]
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
        with suppress(OSError, RuntimeError):
            writer.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    @contextmanager
    def running(self) -> Iterator["TcpProxy"]:
        """Listen until the end of the block."""
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        server = asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(10)
        try:
            yield self
        finally:
            self.mode = "pass"
            asyncio.run_coroutine_threadsafe(self._end(server), self._loop).result(10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(10)
            self._loop.close()

    async def _end(self, server: asyncio.Server) -> None:
        server.close()
        await self._reset()
        mine = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)


@contextmanager
def proxy(target_port: int) -> Iterator[TcpProxy]:
    """A proxy in front of a port."""
    with TcpProxy(target_port).running() as it:
        yield it
