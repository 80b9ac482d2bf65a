"""Which version answers: a pure function of the route table and the sticky unit."""

import hashlib
from dataclasses import dataclass, field
from typing import Final

from slipway.errors import NotFound, Unavailable

BUCKETS: Final = 1_000_000
# The canary's range starts at 0 and everyone else follows: raising its weight moves units
# to the canary and never any between the others.
_ORDER: Final = {"canary": 0, "champion": 1}
_LAST: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One version that may answer."""

    version: str
    digest: str
    upstream: str
    role: str
    weight_ppm: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The arms of one model at one epoch."""

    model: str
    epoch: int
    salt: str
    arms: tuple[Arm, ...]
    sharing: tuple[Arm, ...] = field(init=False)  # those with traffic, in the order of their ranges

    def __post_init__(self) -> None:
        weighted = [arm for arm in self.arms if arm.weight_ppm > 0]
        in_order = tuple(sorted(weighted, key=lambda arm: _ORDER.get(arm.role, _LAST)))
        object.__setattr__(self, "sharing", in_order)


def bucket_of(unit: str, salt: str) -> int:
    """The place of a unit in 0..999,999: stable over processes and releases, independent across salts."""
    digest = hashlib.blake2b(f"{salt}\0{unit}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % BUCKETS


def choose(route: Route, unit: str) -> Arm:
    """The arm that answers `unit`.

    Raises:
        Unavailable: No arm has any traffic yet.
    """
    arms = route.sharing
    if not arms:
        raise Unavailable(f"model {route.model!r} has no version in service yet; see `slipway status`")
    if len(arms) == 1:
        return arms[0]
    bucket, end = bucket_of(unit, route.salt), 0
    for arm in arms[:-1]:
        end += arm.weight_ppm
        if bucket < end:
            return arm
    return arms[-1]


def arm_of_version(route: Route, version: str) -> Arm:
    """The arm of a version that the caller asked for by name.

    Raises:
        NotFound: The route table has no such version.
    """
    for arm in route.arms:
        if arm.version == version:
            return arm
    known = ", ".join(arm.version for arm in route.arms) or "none"
    raise NotFound(f"model {route.model!r} has no version {version!r} in its route table (it has: {known})")
