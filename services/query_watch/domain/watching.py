"""What a caller's questions to a model look like together: use, or an attempt to copy it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from services.query_watch.domain.scales import radius_beside
from services.query_watch.domain.shares import Share, ask, tolerated_share
from services.query_watch.domain.spacing import Floats, Novelty, Spacing, normality, novelty, remember

BOUNDARY: Final = "boundary"
NEW_GROUND: Final = "new_ground"
UNLIKE: Final = "unlike_training"
IN_LINE: Final = "in_line"
SPACING: Final = "spacing"

# Tolerated shares, by load-tests/extraction on breast cancer and Elec2: the most that the first honest
# callers had of each kind there was 0.13, 0.16, 0 and 0.02. Elec2 has weeks with more of the first.
FLOORS: Final[Mapping[str, float]] = {BOUNDARY: 0.2, NEW_GROUND: 0.2, UNLIKE: 0.2, IN_LINE: 0.1}
EVIDENCE_THRESHOLD: Final = (
    11.5  # ln(100,000): one honest caller at the floor cries once in so many questions
)
NORMALITY_THRESHOLD: Final = 0.8
NARROW_MARGIN: Final = 0.1
_FEWEST_BY_OTHERS: Final = 200
_FEWEST_NEW: Final = 8
_FEWEST_BESIDE: Final = 30  # earlier rows, before "unlike each other" means something
_SWEEPING: Final = 1.5  # of the scales' radius
_APART: Final = 0.75  # likewise
_VARIED_SHARE: Final = 0.1  # of the features: who changes fewer varies a row that he has asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One row that was asked, and what was answered.

    Attributes:
        margin: Between the two likeliest classes; None where no probabilities were answered.
        input_score: Distance from the training rows over its threshold; None where it was not computed.
    """

    point: Floats
    answer: int
    margin: float | None = None
    input_score: float | None = None


def _no_shares() -> dict[str, Share]:
    return {kind: Share() for kind in FLOORS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """One caller of one model.

    Attributes:
        rows: All that was asked.
        repeats: Of these, rows that had been asked before.
        variations: Rows that change little of an earlier one: somebody tries what would be if.
    """

    rows: int = 0
    repeats: int = 0
    variations: int = 0
    shares: Mapping[str, Share] = field(default_factory=_no_shares)
    spacing: Spacing = field(default_factory=Spacing)

    @property
    def new(self) -> int:
        """Rows that were neither repeated nor varied: what a copy is made from."""
        return self.rows - self.repeats - self.variations


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    """What the model's other callers do: by kind, how many new questions were asked and how many were so."""

    asked: Mapping[str, float] = field(default_factory=dict)
    found: Mapping[str, float] = field(default_factory=dict)

    def tolerated(self, kind: str) -> float:
        """The share of a kind that is tolerated beside them."""
        return tolerated_share(
            FLOORS[kind],
            asked_by_others=self.asked.get(kind, 0.0),
            found_by_others=self.found.get(kind, 0.0),
            fewest=_FEWEST_BY_OTHERS,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """Why a caller is suspected.

    Attributes:
        signal: What stood out.
        statistic: Its evidence.
        threshold: What it passed.
    """

    signal: str
    statistic: float
    threshold: float
    evidence: str


def observe(watch: Watch, question: Question, *, radius: float, others: Others) -> Watch:
    """Take in one more question.

    Args:
        watch: The caller so far.
        question: What was asked.
        radius: Of the version's scales.
        others: What its other callers do.
    """
    seen = novelty(watch.spacing.kept, question.point, question.answer)
    watch = replace(watch, rows=watch.rows + 1)
    if seen.is_repeat:
        return replace(watch, repeats=watch.repeats + 1)
    if seen.changed <= max(1, int(_VARIED_SHARE * len(question.point))):
        return replace(watch, variations=watch.variations + 1)
    shares = dict(watch.shares)
    kinds = _kinds(question, seen, radius=radius, beside=len(watch.spacing.kept.points))
    for kind, is_found in kinds.items():
        shares[kind] = ask(shares[kind], is_found=is_found, tolerated=others.tolerated(kind))
    spacing = remember(
        watch.spacing, question.point, answer=question.answer, nearest_alike=seen.nearest_alike
    )
    return replace(watch, shares=shares, spacing=spacing)


def _kinds(question: Question, seen: Novelty, *, radius: float, beside: int) -> dict[str, bool]:
    kinds: dict[str, bool] = {}
    has_distances = radius > 0
    if has_distances and np.isfinite(seen.nearest):
        typical = radius_beside(radius, features=len(question.point), rows=beside)
        kinds[NEW_GROUND] = seen.nearest > _SWEEPING * typical
    if beside >= 2:
        kinds[IN_LINE] = seen.is_in_line
    if question.margin is not None:
        kinds[BOUNDARY] = question.margin < NARROW_MARGIN
    if has_distances and question.input_score is not None and beside >= _FEWEST_BESIDE:
        # Rows that drifted are far from training and close to each other.
        kinds[UNLIKE] = question.input_score > 1 and seen.nearest > _APART * radius
    return kinds


def judge(watch: Watch) -> Suspicion | None:
    """The strongest reason to suspect the caller; None where there is none."""
    if watch.new < _FEWEST_NEW:
        return None
    kind, share = max(watch.shares.items(), key=lambda pair: pair[1].statistic)
    if share.statistic > EVIDENCE_THRESHOLD:
        return Suspicion(
            signal=kind,
            statistic=share.statistic,
            threshold=EVIDENCE_THRESHOLD,
            evidence=_words(kind, share, watch),
        )
    normal = normality(watch.spacing.recent)
    if normal is not None and normal < NORMALITY_THRESHOLD:
        return Suspicion(
            signal=SPACING,
            statistic=normal,
            threshold=NORMALITY_THRESHOLD,
            evidence=f"distances between its {watch.new} new rows are not those of rows that occur: the "
            f"normality of their logarithms is {normal:.2f}, below {NORMALITY_THRESHOLD}",
        )
    return None


_SAYING: Final = {
    BOUNDARY: "lie where the model hardly decides",
    NEW_GROUND: "lie apart from all it asked before, farther than unrelated rows do",
    UNLIKE: "are unlike the training rows and unlike each other",
    IN_LINE: "lie on a line through the two nearest that it asked before",
}


def _words(kind: str, share: Share, watch: Watch) -> str:
    return (
        f"{share.found} of {share.asked} new rows ({share.rate:.0%}) {_SAYING[kind]}; of {watch.rows} rows "
        f"asked, {watch.repeats} were repeated and {watch.variations} varied an earlier one"
    )
