"""Ports that several processes listen on at once (SO_REUSEPORT), and how one of them leaves without harm.

The kernel gives each new connection to one of the listeners. Closing a listener resets what it was given and
has not accepted yet. So one that leaves first has a filter drop each SYN that comes to it: its sender tries
again after a second and meets another listener. Handshakes under way end meanwhile, and are accepted.
"""

import asyncio
import ctypes
import logging
import os
import socket
import struct
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Final

import psutil

log = logging.getLogger(__name__)

_SETTLE_S: Final = 0.25  # for handshakes under way: more than a round trip
_BACKLOG: Final = 2048
_SO_ATTACH_FILTER: Final = 26  # of Linux; the socket module does not name it
# Classic BPF on the segment, which begins with the header of TCP: a SYN without an ACK is dropped.
_DROP_SYN: Final = (
    (0x30, 0, 0, 13),  # load the byte of flags
    (0x54, 0, 0, 0x12),  # keep SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone?
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # pass
)


def open_listener(host: str, port: int, *, is_shared: bool) -> socket.socket:
    """Listen; with `is_shared` other processes of this user may listen there, too.

    Raises:
        OSError: The port is taken, or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sets TCP_NODELAY only on connections that tell theirs.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


async def leave(ports: Collection[int], *, before_close: Callable[[], None]) -> None:
    """Stop listening on ports of this process, whoever in it listens; connections go on.

    Args:
        ports: Where no new connection is wanted.
        before_close: Called when no more come, and before the kernel is told to stop.
    """
    listeners = await asyncio.to_thread(_own_listeners, ports)
    try:
        for listener in listeners:
            _drop_new(listener)
        await asyncio.sleep(_SETTLE_S)
        before_close()
        for listener in listeners:
            with suppress(OSError):  # not listening any more
                listener.shutdown(socket.SHUT_RDWR)
    finally:
        for listener in listeners:
            listener.close()


async def count_connections(ports: Collection[int]) -> int:
    """How many connections to these ports this process holds."""
    return await asyncio.to_thread(_count, ports)


def _own_listeners(ports: Collection[int]) -> list[socket.socket]:
    """Second handles of this process's listeners."""
    own = psutil.Process().net_connections("tcp")
    found = [c.fd for c in own if c.status == psutil.CONN_LISTEN and c.laddr.port in ports]
    return [socket.socket(fileno=os.dup(descriptor)) for descriptor in found]


def _count(ports: Collection[int]) -> int:
    own = psutil.Process().net_connections("tcp")
    return sum(c.status == psutil.CONN_ESTABLISHED and c.laddr.port in ports for c in own)


def _drop_new(listener: socket.socket) -> None:
    code = b"".join(struct.pack("HBBI", *step) for step in _DROP_SYN)
    memory = ctypes.create_string_buffer(code)
    program = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(memory))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    except OSError as error:
        log.warning("a connection may be reset: this system takes no filter on a listener: %s", error)
