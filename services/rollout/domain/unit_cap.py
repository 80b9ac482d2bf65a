"""At most one event per unit: requests of one user fail together, and would count as many proofs.

A unit keeps its arm for the whole rollout, so its second event falls on the same arm for certain: betting on
it again would void the guarantee. Remembering every unit is unbounded; a Bloom filter of fixed size is not.
It never takes a known unit for a new one. Now and then it takes a new unit for a known one and drops its
event, blind to the arm, which costs evidence and never validity.

With one event per unit the bets are exact for every version under which no unit fails sooner than it would
have under the champion, while the share only grows: a unit that fails later falls on a larger share, and
betting on it earns less than betting on the champion's failure would have.

Source: Bloom, Space/time trade-offs in hash coding with allowable errors, CACM 13, 1970, method 2;
Kirsch, Mitzenmacher, Less hashing, same performance: building a better Bloom filter, 2006, section 3.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

BITS: Final = 1 << 17  # 16 KiB: of 10,000 units 0.5 % are lost, of 40,000 a quarter
_HASHES: Final = 4
# Not the hash that routes: what is dropped must not depend on the arm.
_PERSON: Final = b"slipway-unit-cap"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCap:
    """The units that were counted, and how many requests were not."""

    bits: bytes = b""
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
    bits = bytearray(cap.bits or bytes(BITS // 8))
    places = _places(unit)
    if all(bits[place >> 3] >> (place & 7) & 1 for place in places):
        return UnitCap(bits=cap.bits, units=cap.units, dropped=cap.dropped + 1), False
    for place in places:
        bits[place >> 3] |= 1 << (place & 7)
    return UnitCap(bits=bytes(bits), units=cap.units + 1, dropped=cap.dropped), True


def _places(unit: str) -> list[int]:
    digest = blake2b(unit.encode(), digest_size=16, person=_PERSON).digest()
    first, second = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big") | 1
    return [(first + i * second) % BITS for i in range(_HASHES)]
