"""Which version answers: a pure function of the route table and the sticky unit."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from slipway.errors import InvalidInput, NotFound, Unavailable

BUCKETS: Final = 1_000_000
CHAMPION: Final = "champion"
_CANARY: Final = "canary"
_RIVAL: Final = "rival"
_SHADOW: Final = "shadow"
# What a tester may ask for; a version that is still warming up may fail, and nobody shall wait for it.
CHOOSABLE: Final = (_CANARY, CHAMPION, _SHADOW, "standby", _RIVAL)
_ORDER: Final = {_CANARY: 0, CHAMPION: 1}
_LAST: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One version that may answer; one in shadow gets copies of requests in place of units."""

    version: str
    digest: str
    upstream: str
    role: str
    weight_ppm: int
    mirror_ppm: int = 0
    max_mirrored_per_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The arms of one model at one epoch.

    Attributes:
        sharing: Those with traffic, in the order of their ranges.
        rivals: Of these, the further versions of an A/B step, by version.
        shadow: The one that gets copies.
    """

    model: str
    epoch: int
    salt: str
    arms: tuple[Arm, ...]
    sharing: tuple[Arm, ...] = field(init=False)
    rivals: tuple[Arm, ...] = field(init=False)
    shadow: Arm | None = field(init=False)

    def __post_init__(self) -> None:
        weighted = [arm for arm in self.arms if arm.weight_ppm > 0]
        rivals = sorted((a for a in weighted if a.role == _RIVAL), key=lambda arm: arm.version)
        others = sorted(
            (a for a in weighted if a.role != _RIVAL), key=lambda arm: _ORDER.get(arm.role, _LAST)
        )
        object.__setattr__(self, "rivals", tuple(rivals))
        object.__setattr__(self, "sharing", (*others, *reversed(rivals)))
        shadow = next((a for a in self.arms if a.role == _SHADOW and a.mirror_ppm > 0), None)
        object.__setattr__(self, "shadow", shadow)


def bucket_of(unit: str, salt: str) -> int:
    """The place of a unit in 0..999,999: stable over processes and releases, independent across salts."""
    digest = hashlib.blake2b(f"{salt}\0{unit}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % BUCKETS


def choose(route: Route, unit: str) -> Arm:
    """The arm that answers `unit`.

    The canary's range grows from 0 upwards, those of rivals from the other end downwards, and the champion
    has what lies between: an arm that grows takes units from the champion alone. So no unit changes between
    new versions while weights only grow, for a canary and one rival with any weights and for more rivals with
    the weights equal to one another. (For three arms of any weights no rule without memory could do that:
    three shares of one half each would have to be pairwise disjoint.)

    Raises:
        Unavailable: No arm has any traffic yet.
    """
    arms, rivals = route.sharing, route.rivals
    if not arms:
        raise Unavailable(f"model {route.model!r} has no version in service yet; see `slipway status`")
    if len(arms) == 1:
        return arms[0]
    bucket, end = bucket_of(unit, route.salt), 0
    rival = _rival_at(rivals, BUCKETS - 1 - bucket) if rivals else None
    if rival is not None:
        return rival
    others = arms[: len(arms) - len(rivals)] or arms
    for arm in others[:-1]:
        end += arm.weight_ppm
        if bucket < end:
            return arm
    return others[-1]


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


def arm_of_role(route: Route, role: str, *, version: str = "") -> Arm:
    """The arm that a tester asked for by its role.

    Args:
        route: Its arms.
        role: As in the route table.
        version: Which of them, where there are several; empty where it was not named.
    Raises:
        InvalidInput: There is no such role, or there are several arms of it.
        NotFound: The route table has no such arm.
    """
    if role not in CHOOSABLE:
        raise InvalidInput(f"slipway-arm {role[:40]!r} is none of {', '.join(CHOOSABLE)}")
    found = [arm for arm in route.arms if arm.role == role and version in ("", arm.version)]
    if not found:
        what = f"arm {role!r}" + (f" with version {version!r}" if version else "")
        known = ", ".join(f"{arm.role} {arm.version}" for arm in route.arms) or "none"
        raise NotFound(f"model {route.model!r} has no {what} in its route table (it has: {known})")
    if len(found) > 1:
        known = ", ".join(arm.version for arm in found)
        raise InvalidInput(f"model {route.model!r} has several arms {role!r}: name the version, {known}")
    return found[0]


def _rival_at(rivals: Sequence[Arm], place: int) -> Arm | None:
    """The rival that has a place, counted from the end; None where the places of rivals are over.

    Places go to them in turn as far as the smallest of them reaches, so that rivals of one weight that grow
    together keep their units; then the rest of each in one piece.
    """
    least = min(arm.weight_ppm for arm in rivals)
    end = least * len(rivals)
    if place < end:
        return rivals[place % len(rivals)]
    for arm in rivals:
        end += arm.weight_ppm - least
        if place < end:
            return arm
    return None
