"""Counts of each arm: the version that is rolled out, the champion, and further versions of an A/B step."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from services.rollout.domain import evidence
from services.rollout.domain.assignment import Assignment
from services.rollout.domain.observation import Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmTally:
    """Counts of one version since the rollout began.

    Attributes:
        fault: Of its latest request without a usable answer, in words.
    """

    requests: int = 0
    rows: int = 0
    failed: int = 0
    slow: int = 0
    malformed: int = 0
    classes: tuple[tuple[str, int], ...] = ()
    fault: str = ""

    @property
    def broken(self) -> int:
        """Requests without a usable answer."""
        return self.failed + self.malformed


NO_REQUESTS: Final = ArmTally()


@dataclass(frozen=True, slots=True, kw_only=True)
class RivalTally:
    """What one more version of an A/B step did, and the evidence that it does worse than the champion."""

    version: str
    arm: ArmTally = NO_REQUESTS
    log_ratios: evidence.LogRatios = evidence.NO_EVIDENCE


def count(arm: ArmTally, observation: Observation) -> ArmTally:
    """One more request of an arm."""
    outcome, classes = observation.outcome, arm.classes
    return ArmTally(
        requests=arm.requests + 1,
        rows=arm.rows + observation.rows,
        failed=arm.failed + (outcome == "failed"),
        slow=arm.slow + (outcome == "slow"),
        malformed=arm.malformed + (outcome == "malformed"),
        classes=_add_classes(classes, dict(observation.classes)) if observation.classes else classes,
        fault=observation.fault or arm.fault,
    )


def _add_classes(
    classes: tuple[tuple[str, int], ...], more: Mapping[str, int]
) -> tuple[tuple[str, int], ...]:
    totals = dict(classes)
    for name, count in more.items():
        totals[name] = totals.get(name, 0) + count
    return tuple(sorted(totals.items()))


def observe_rivals(
    rivals: tuple[RivalTally, ...], observation: Observation, draw: Assignment
) -> tuple[RivalTally, ...]:
    """Each rival beside the champion; a request of another new version says nothing about it.

    One of an earlier step says nothing either: whoever was a rival in it has left.
    """
    if not draw.is_present:
        return rivals
    known = {rival.version: rival for rival in rivals}
    champion = len(draw.versions) - 1
    for at, version in enumerate(draw.versions[1:champion], start=1):
        rival, is_own = known.get(version, RivalTally(version=version)), draw.arm == at
        if is_own:
            rival = replace(rival, arm=count(rival.arm, observation))
        if observation.outcome != "good" and (is_own or draw.arm == champion):
            ratios = evidence.add_bad_event(
                rival.log_ratios, is_canary=is_own, share=draw.share_beside_champion(at)
            )
            rival = replace(rival, log_ratios=ratios)
        known[version] = rival
    return tuple(known[version] for version in sorted(known))
