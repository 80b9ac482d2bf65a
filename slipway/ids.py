"""Identifiers that sort by time."""

import secrets
import threading
import time
from uuid import UUID

_lock = threading.Lock()
_last_ms = 0
_sequence = 0


def new_id() -> str:
    """A UUIDv7 as text; ids made by one process sort in the order they were made.

    Source: RFC 9562, Universally Unique IDentifiers, 2024, section 5.7, with the 12-bit
    counter of section 6.2, method 1, in `rand_a`.
    """
    global _last_ms, _sequence
    with _lock:
        now_ms = max(time.time_ns() // 1_000_000, _last_ms)
        _sequence = _sequence + 1 if now_ms == _last_ms else 0
        if _sequence > 0xFFF:
            now_ms, _sequence = now_ms + 1, 0
        _last_ms = now_ms
        sequence = _sequence
    value = now_ms << 80 | 0x7 << 76 | sequence << 64 | 0b10 << 62 | secrets.randbits(62)
    return str(UUID(int=value))
