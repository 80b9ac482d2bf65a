"""Which arms a request could have gone to, by how much chance, and to which one it went."""

from dataclasses import dataclass
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
    ppm = dict(position.share_by_epoch).get(route_epoch, 0)
    subject, champion = position.subject, position.champion
    if not 0 < ppm < WHOLE_PPM or subject is None or champion is None:
        return None
    is_present = route_epoch >= position.step_epoch
    rivals = tuple(r.version for r in position.rivals) if is_present and position.state == "AB" else ()
    versions = (subject.version, *rivals, champion.version)
    if version not in versions:
        return None
    share = ppm / WHOLE_PPM
    shares = (*(share,) * (len(rivals) + 1), max(0.0, 1 - share * (len(rivals) + 1)))
    return Assignment(shares=shares, arm=versions.index(version), versions=versions, is_present=is_present)
