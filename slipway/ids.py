"""Identifiers that sort by time."""

import os
import threading
import time
from typing import Final

_POOL_BYTES: Final = 4096  # one system call draws the random parts of 512 ids
_ID_BYTES: Final = 8
_RANDOM_MASK: Final = (1 << 62) - 1
_lock = threading.Lock()
_pool = b""
_pool_at = 0
_last_ms = 0
_sequence = 0


def new_id() -> str:
    """A UUIDv7 as text; ids made by one process sort in the order they were made.

    Source: RFC 9562, Universally Unique IDentifiers, 2024, section 5.7, with the 12-bit
    counter of section 6.2, method 1, in `rand_a`.
    """
    global _last_ms, _sequence, _pool, _pool_at
    with _lock:
        if _pool_at >= len(_pool):
            _pool, _pool_at = os.urandom(_POOL_BYTES), 0
        drawn = _pool[_pool_at : _pool_at + _ID_BYTES]
        _pool_at += _ID_BYTES
        now_ms = max(time.time_ns() // 1_000_000, _last_ms)
        _sequence = _sequence + 1 if now_ms == _last_ms else 0
        if _sequence > 0xFFF:
            now_ms, _sequence = now_ms + 1, 0
        _last_ms = now_ms
        sequence = _sequence
    last = 0b10 << 62 | int.from_bytes(drawn, "big") & _RANDOM_MASK
    text = f"{now_ms:012x}7{sequence:03x}{last:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
