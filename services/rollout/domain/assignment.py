"""Which arms a request could have gone to, by how much chance, and to which one it went."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from services.rollout.domain.position import Position

WHOLE_PPM: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One request's draw.

    Attributes:
        shares: Of the subject, of each rival, of the champion; sum 1.
        arm: Index of the one it went to.
        versions: In the same order.
        is_present: It was routed under the present step.
    """

    shares: tuple[float, ...]
    arm: int
    versions: tuple[str, ...]
    is_present: bool

    @property
    def is_canary(self) -> bool:
        """Whether the version being rolled out answered."""
        return self.arm == 0

    @property
    def is_rival(self) -> bool:
        """Whether a further version of an A/B step answered."""
        return 0 < self.arm < len(self.shares) - 1

    def share_beside_champion(self, arm: int) -> float:
        """An arm's share of what it and the champion got together."""
        both = self.shares[arm] + self.shares[-1]
        return self.shares[arm] / both if both else 0.0


def assignment(position: Position, *, version: str, route_epoch: int) -> Assignment | None:
    """The draw of a request; None where there was nothing to draw, or the version was no arm of it."""
    subject, champion = position.subject, position.champion
    if subject is None or champion is None:
        return None
    is_present = route_epoch >= position.step_epoch
    rivals = position.rivals if is_present and position.state == "AB" else ()
    versions = (subject.version, *(rival.version for rival in rivals), champion.version)
    ppm = dict(position.share_by_epoch).get(route_epoch, 0)
    return _draw(ppm, versions, version=version, is_present=is_present)


@lru_cache(maxsize=4096)  # few draws differ, and each prediction asks for one
def _draw(ppm: int, versions: tuple[str, ...], *, version: str, is_present: bool) -> Assignment | None:
    if not 0 < ppm < WHOLE_PPM or version not in versions:
        return None
    share, others = ppm / WHOLE_PPM, len(versions) - 1
    shares = (*(share,) * others, max(0.0, 1 - share * others))
    return Assignment(shares=shares, arm=versions.index(version), versions=versions, is_present=is_present)
