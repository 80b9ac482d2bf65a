"""At most one event per unit: requests of one user fail together, and would count as many proofs.

A unit keeps its arm for the whole rollout, so its second event falls on the same arm for certain: betting on
it again would void the guarantee. Remembering every unit is unbounded; a Bloom filter of fixed size is not.
It never takes a known unit for a new one. Now and then it takes a new unit for a known one and drops its
event, blind to the arm, which costs evidence and never validity.

With one event per unit the bets are exact for every version under which no unit fails sooner than it would
have under the champion, while the share only grows: a unit that fails later falls on a larger share, and
betting on it earns less than betting on the champion's failure would have.

All bits of a unit lie in one of 64 blocks: a new unit makes one block of 256 bytes new, and only that one has
to be copied and saved.

Source: Bloom, Space/time trade-offs in hash coding with allowable errors, CACM 13, 1970, method 2;
Kirsch, Mitzenmacher, Less hashing, same performance: building a better Bloom filter, 2006, section 3;
Putze, Sanders, Singler, Cache-, hash- and space-efficient Bloom filters, J. Experimental Algorithmics 14,
2009, section 3 (blocks).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

BITS: Final = 1 << 17  # 16 KiB: of 10,000 units 0.5 % are lost, of 40,000 a quarter
BLOCKS: Final = 64
BLOCK_BITS: Final = BITS // BLOCKS
_EMPTY: Final = (bytes(BLOCK_BITS // 8),) * BLOCKS
_HASHES: Final = 4
# Not the hash that routes: what is dropped must not depend on the arm.
_PERSON: Final = b"slipway-unit-cap"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCap:
    """The units that were counted, and how many requests were not.

    Attributes:
        blocks: BLOCKS of them; none before the first unit.
    """

    blocks: tuple[bytes, ...] = ()
    units: int = 0
    dropped: int = 0


NO_UNITS: Final = UnitCap()


def admit(cap: UnitCap, unit: str) -> tuple[UnitCap, bool]:
    """Whether the unit's event may count; afterwards the unit is known.

    Args:
        cap: The units so far.
        unit: The sticky unit; empty: the request is a unit of its own and always counts.
    """
    if not unit:
        return cap, True
    at, places = _places(unit)
    blocks = cap.blocks or _EMPTY
    bits = bytearray(blocks[at])
    if all(bits[place >> 3] >> (place & 7) & 1 for place in places):
        return UnitCap(blocks=cap.blocks, units=cap.units, dropped=cap.dropped + 1), False
    for place in places:
        bits[place >> 3] |= 1 << (place & 7)
    renewed = (*blocks[:at], bytes(bits), *blocks[at + 1 :])
    return UnitCap(blocks=renewed, units=cap.units + 1, dropped=cap.dropped), True


def new_blocks(before: UnitCap, after: UnitCap) -> dict[int, bytes]:
    """The blocks that are no longer what they were, by index."""
    old = before.blocks or _EMPTY
    return {at: block for at, block in enumerate(after.blocks) if block is not old[at]}


def restored(cap: UnitCap, blocks: Mapping[int, bytes]) -> UnitCap:
    """A cap with the blocks that were saved of it; those never saved are empty."""
    if not blocks:
        return cap
    filled = tuple(blocks.get(at, _EMPTY[at]) for at in range(BLOCKS))
    return UnitCap(blocks=filled, units=cap.units, dropped=cap.dropped)


def _places(unit: str) -> tuple[int, list[int]]:
    """The unit's block and its bits there."""
    digest = blake2b(unit.encode(), digest_size=16, person=_PERSON).digest()
    first, second = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big") | 1
    start = first // BLOCKS
    return first % BLOCKS, [(start + i * second) % BLOCK_BITS for i in range(_HASHES)]
