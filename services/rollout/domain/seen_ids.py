"""Which predictions were counted, so that a record that was shipped twice counts once, also after a crash.

A gateway that is killed between sending and noting it sends again: the same prediction under another offset.
The newest ids are remembered by a hash of 8 bytes: two of 65,536 share one with a chance of 1 in 10^10.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

CHUNK_IDS: Final = 256
CHUNKS: Final = 256
_HASH_BYTES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Some ids that were seen one after the other.

    Attributes:
        number: Grows with each chunk; its slot is the remainder by CHUNKS.
        ids: Their hashes.
    """

    number: int
    ids: bytes

    @property
    def slot(self) -> int:
        """Where it is kept; the chunk that was there before is forgotten."""
        return self.number % CHUNKS


class SeenIds:
    """The newest CHUNKS * CHUNK_IDS ids of one rollout at most; changed in place, as it is large.

    Args:
        chunks: As they were saved, in any order.
    """

    def __init__(self, chunks: Iterable[Chunk] = ()) -> None:
        self._chunks = {chunk.number: bytearray(chunk.ids) for chunk in sorted(chunks, key=_number)}
        self._known = {each for ids in self._chunks.values() for each in _split(ids)}
        self._newest = max(self._chunks, default=0)
        self._changed: set[int] = set()

    def add(self, identity: str) -> bool:
        """Remember an id; whether it was new."""
        digest = blake2b(identity.encode(), digest_size=_HASH_BYTES).digest()
        if digest in self._known:
            return False
        self._known.add(digest)
        chunk = self._chunks.get(self._newest)
        if chunk is None or len(chunk) >= CHUNK_IDS * _HASH_BYTES:
            chunk = self._begin_chunk(is_first=chunk is None)
        chunk += digest
        self._changed.add(self._newest)
        return True

    def changed(self) -> list[Chunk]:
        """What must be saved."""
        return [Chunk(number=number, ids=bytes(self._chunks[number])) for number in sorted(self._changed)]

    def saved(self) -> None:
        """Everything that had changed is saved."""
        self._changed.clear()

    def _begin_chunk(self, *, is_first: bool) -> bytearray:
        if not is_first:
            self._newest += 1
        oldest = self._newest - CHUNKS
        if oldest in self._chunks:
            self._known.difference_update(_split(self._chunks.pop(oldest)))
            self._changed.discard(oldest)
        chunk = self._chunks[self._newest] = bytearray()
        return chunk


def _split(ids: bytearray) -> list[bytes]:
    return [bytes(ids[at : at + _HASH_BYTES]) for at in range(0, len(ids), _HASH_BYTES)]


def _number(chunk: Chunk) -> int:
    return chunk.number
