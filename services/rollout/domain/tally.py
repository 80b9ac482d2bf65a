"""What was counted in the live rollout: rows, failures and evidence per arm, and up to where."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from services.rollout.domain import evidence
from services.rollout.domain.observation import Observation
from services.rollout.domain.position import Position
from services.rollout.domain.state_machine import State

WHOLE_PPM: Final = 1_000_000
# At 100 % there is no arm beside to compare with. Up to this share of failures is taken for noise:
# 3 failures of the first 3 reach an e-value of 20.
TOLERATED_BAD_SHARE: Final = 0.05
# Slow answers come in bursts (a training on the same cores), so they are counted by the second, and
# only a version that is slow most of the time is taken back: 5 slow seconds of 5.
TOLERATED_SLOW_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmTally:
    """Counts of one version since the rollout began."""

    requests: int = 0
    rows: int = 0
    failed: int = 0
    slow: int = 0
    malformed: int = 0
    classes: tuple[tuple[str, int], ...] = ()

    @property
    def broken(self) -> int:
        """Requests without a usable answer."""
        return self.failed + self.malformed


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """All counts of one rollout.

    Attributes:
        step_rows: Rows of both arms served under the present step's routes.
        step_canary_rows: Those of the version being rolled out.
        offsets: The last counted offset of each source.
        baseline: Tolerated share of failures at 100 %, fixed when the bake begins.
        slow_second: The last second that was judged by its latency at 100 %.
    """

    rollout_id: str = ""
    step_rows: int = 0
    step_canary_rows: int = 0
    canary: ArmTally = ArmTally()
    champion: ArmTally = ArmTally()
    log_ratios: evidence.LogRatios = evidence.NO_EVIDENCE
    bake_log_ratios: evidence.LogRatios = evidence.NO_BAKE_EVIDENCE
    slow_log_ratios: evidence.LogRatios = evidence.NO_BAKE_EVIDENCE
    baseline: float = TOLERATED_BAD_SHARE
    slow_second: int = 0
    offsets: tuple[tuple[str, int], ...] = ()

    @property
    def e_value(self) -> float:
        """Evidence that the canary does worse than the champion beside it."""
        return evidence.e_value(self.log_ratios)

    @property
    def bake_e_value(self) -> float:
        """Evidence that the new champion fails more than `baseline`, or is slow most of the time."""
        return max(evidence.e_value(self.bake_log_ratios), evidence.e_value(self.slow_log_ratios))


def begin_rollout(rollout_id: str) -> Tally:
    """Nothing counted yet."""
    return Tally(rollout_id=rollout_id)


def begin_step(tally: Tally, state: State) -> Tally:
    """Count the rows of the step from 0; what is known of the arms stays."""
    fresh = replace(tally, step_rows=0, step_canary_rows=0)
    if state is not State.BAKE:
        return fresh
    champion = tally.champion
    seen = (champion.broken + 1) / (champion.requests + 2)
    # (broken + 1) / (requests + 2) of an unseen champion is 1/2: no baseline at all.
    return replace(fresh, baseline=max(TOLERATED_BAD_SHARE, seen if champion.requests else 0.0))


def observe(tally: Tally, observation: Observation, position: Position) -> Tally:
    """Count one record; a record that was counted before changes nothing."""
    offsets = dict(tally.offsets)
    if observation.offset <= offsets.get(observation.source, -1):
        return tally
    offsets[observation.source] = observation.offset
    place = tuple(sorted(offsets.items()))
    shares = dict(position.share_by_epoch)
    subject = position.subject
    if observation.outcome == "ignored" or observation.route_epoch not in shares or subject is None:
        return replace(tally, offsets=place)
    is_canary = observation.version == subject.version
    arm = _count(tally.canary if is_canary else tally.champion, observation)
    # 0 where the request was routed before the present step began
    rows = observation.rows if observation.route_epoch >= position.step_epoch else 0
    counted = replace(
        tally,
        offsets=place,
        step_rows=tally.step_rows + rows,
        step_canary_rows=tally.step_canary_rows + (rows if is_canary else 0),
        canary=arm if is_canary else tally.canary,
        champion=tally.champion if is_canary else arm,
    )
    return _add_evidence(
        counted, observation, is_canary=is_canary, share=shares[observation.route_epoch] / WHOLE_PPM
    )


def _count(arm: ArmTally, observation: Observation) -> ArmTally:
    outcome, classes = observation.outcome, arm.classes
    return ArmTally(
        requests=arm.requests + 1,
        rows=arm.rows + observation.rows,
        failed=arm.failed + (outcome == "failed"),
        slow=arm.slow + (outcome == "slow"),
        malformed=arm.malformed + (outcome == "malformed"),
        classes=_add_classes(classes, dict(observation.classes)) if observation.classes else classes,
    )


def _add_classes(
    classes: tuple[tuple[str, int], ...], more: Mapping[str, int]
) -> tuple[tuple[str, int], ...]:
    totals = dict(classes)
    for name, count in more.items():
        totals[name] = totals.get(name, 0) + count
    return tuple(sorted(totals.items()))


def _add_evidence(tally: Tally, observation: Observation, *, is_canary: bool, share: float) -> Tally:
    if share == 1:
        # Anything else was served by an arm that the table no longer weighs.
        return _add_bake_evidence(tally, observation) if is_canary else tally
    if observation.outcome == "good":
        return tally
    ratios = evidence.add_bad_event(tally.log_ratios, is_canary=is_canary, share=share)
    return replace(tally, log_ratios=ratios)


def _add_bake_evidence(tally: Tally, observation: Observation) -> Tally:
    is_broken = observation.outcome in ("failed", "malformed")
    ratios = evidence.add_request(tally.bake_log_ratios, is_bad=is_broken, baseline=tally.baseline)
    judged = replace(tally, bake_log_ratios=ratios)
    if is_broken or not observation.is_computed or observation.served_s <= tally.slow_second:
        return judged
    slow = evidence.add_request(
        tally.slow_log_ratios, is_bad=observation.outcome == "slow", baseline=TOLERATED_SLOW_SHARE
    )
    return replace(judged, slow_log_ratios=slow, slow_second=observation.served_s)
