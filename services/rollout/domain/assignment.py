"""Which arms a request could have gone to, by how much chance, and to which one it went."""

from dataclasses import dataclass
from functools import lru_cache

from services.rollout.domain.log_entry import WHOLE_PPM
from services.rollout.domain.position import Draw, Position


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
    """The draw of a request; None where there was nothing to draw, or the version is no arm of it any more.

    A step that is over is looked back at with its own arms and shares, though only for the version that goes
    on: the answers of those that an A/B step has left behind say nothing about it.
    """
    drawn, subject = position.draw_at(route_epoch), position.subject
    if drawn is None or subject is None:
        return None
    is_present = route_epoch >= position.step_epoch
    return _assign(drawn, subject.version, version=version, is_present=is_present)


@lru_cache(maxsize=4096)  # few draws differ, and each prediction asks for one
def _assign(drawn: Draw, subject: str, *, version: str, is_present: bool) -> Assignment | None:
    if not 0 < drawn.weight_ppm < WHOLE_PPM or subject not in drawn.new:
        return None
    others = tuple(other for other in drawn.new if other != subject)
    versions = (subject, *others, drawn.champion)
    if version not in versions or (version in others and not is_present):
        return None
    share = drawn.weight_ppm / WHOLE_PPM
    shares = (*(share,) * len(drawn.new), max(0.0, 1 - share * len(drawn.new)))
    return Assignment(shares=shares, arm=versions.index(version), versions=versions, is_present=is_present)
