"""What was counted in the live rollout: rows, failures and evidence per arm, and up to where."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from services.rollout.domain import comparison as compared
from services.rollout.domain import evidence, evidence_table, single_class
from services.rollout.domain import shadow as shadows
from services.rollout.domain.arm_tally import NO_REQUESTS, ArmTally, RivalTally, count, observe_rivals
from services.rollout.domain.arms_seen import ArmSeen
from services.rollout.domain.assignment import Assignment, assignment
from services.rollout.domain.comparison import NO_COMPARISON, Comparison
from services.rollout.domain.evidence_table import EvidenceTable
from services.rollout.domain.history import NO_HISTORY, History
from services.rollout.domain.label_coverage import Coverage
from services.rollout.domain.log_entry import WHOLE_PPM
from services.rollout.domain.observation import Observation
from services.rollout.domain.policy import Policy
from services.rollout.domain.position import Position
from services.rollout.domain.sample_ratio import SampleRatio
from services.rollout.domain.shadow import NO_SHADOW, ShadowSeen, ShadowTally
from services.rollout.domain.state_machine import State

# At 100 % there is no arm beside to compare with. Up to this share of failures is taken for noise:
# 3 failures of the first 3 reach an e-value of 20.
TOLERATED_BAD_SHARE: Final = 0.05
# Slow answers come in bursts (a training on the same cores), so they are counted by the second, and
# only a version that is slow most of the time is taken back: 5 slow seconds of 5.
TOLERATED_SLOW_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """How much has gone into the tables for what comes early or late, and how much of it is still there.

    Attributes:
        answers: Rows that a version in shadow answered.
        labels: Labels that came before the answer in shadow.
        learned: Labels and outcomes of requests that are younger than the horizon.
        held: Those of `learned` that still wait.
    """

    answers: int = 0
    labels: int = 0
    learned: int = 0
    held: int = 0


NO_LATE: Final = Late()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """All counts of one rollout.

    Attributes:
        step_rows: Rows of both arms served under the present step's routes.
        step_canary_rows: Those of the version being rolled out.
        rivals: Further versions of an A/B step.
        answers: What speaks against a canary that always gives one class.
        offsets: The last counted offset of each source.
        baseline: Tolerated share of failures at 100 %, fixed when the bake begins.
        slow_second: The last second that was judged by its latency at 100 %.
        comparison: What rules and checks have seen.
        shadow: Counts of the version's time in shadow.
        late: What waits in tables of its own.
        history: Of the findings, for the report.
    """

    rollout_id: str = ""
    step_rows: int = 0
    step_canary_rows: int = 0
    canary: ArmTally = NO_REQUESTS
    champion: ArmTally = NO_REQUESTS
    rivals: tuple[RivalTally, ...] = ()
    answers: single_class.Answers = single_class.NO_ANSWERS
    log_ratios: evidence.LogRatios = evidence.NO_EVIDENCE
    bake_log_ratios: evidence.LogRatios = evidence.NO_BAKE_EVIDENCE
    slow_log_ratios: evidence.LogRatios = evidence.NO_BAKE_EVIDENCE
    baseline: float = TOLERATED_BAD_SHARE
    slow_second: int = 0
    offsets: tuple[tuple[str, int], ...] = ()
    comparison: Comparison = NO_COMPARISON
    shadow: ShadowTally = NO_SHADOW
    late: Late = NO_LATE
    history: History = NO_HISTORY

    @property
    def table(self) -> EvidenceTable:
        """What each rule has seen."""
        return self.comparison.table

    @property
    def ratio(self) -> SampleRatio | None:
        """New units per arm; None before the first."""
        return self.comparison.ratio

    @property
    def coverage(self) -> Coverage | None:
        """Labels per arm; None where no rule waits for them."""
        return self.comparison.coverage

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
    fresh = replace(tally, step_rows=0, step_canary_rows=0, comparison=compared.begin_step(tally.comparison))
    if state is not State.AB:
        fresh = replace(fresh, rivals=())
    if state is not State.BAKE:
        return fresh
    champion = tally.champion
    seen = (champion.broken + 1) / (champion.requests + 2)
    # (broken + 1) / (requests + 2) of an unseen champion is 1/2: no baseline at all.
    return replace(fresh, baseline=max(TOLERATED_BAD_SHARE, seen if champion.requests else 0.0))


def begin_subject(tally: Tally, version: str) -> Tally:
    """Count on for a rival that takes the subject's place: what was seen of others says nothing of it."""
    won = next((rival for rival in tally.rivals if rival.version == version), RivalTally(version=version))
    return replace(
        tally,
        canary=won.arm,
        log_ratios=won.log_ratios,
        rivals=(),
        answers=single_class.NO_ANSWERS,
        comparison=NO_COMPARISON,
        shadow=NO_SHADOW,
    )


def fitted(tally: Tally, policy: Policy) -> Tally:
    """The tally with a place for each rule of the policy."""
    table = evidence_table.fitted(tally.table, policy.rules)
    return (
        tally if table is tally.table else replace(tally, comparison=replace(tally.comparison, table=table))
    )


def is_counted(tally: Tally, source: str, offset: int) -> bool:
    """Whether a record was counted before."""
    return offset <= dict(tally.offsets).get(source, -1)


def pass_over(tally: Tally, source: str, offset: int) -> Tally:
    """Note that a record was read; it says nothing."""
    return replace(tally, offsets=_reached(tally, source, offset))


def _reached(tally: Tally, source: str, offset: int) -> tuple[tuple[str, int], ...]:
    return tuple(sorted({**dict(tally.offsets), source: offset}.items()))


def arms_seen(tally: Tally) -> Mapping[str, ArmSeen]:
    """Per version, what the present A/B step has seen of it; its champion is the control."""
    return {arm.version: arm for arm in tally.comparison.arms}


def observe(
    tally: Tally, observation: Observation, position: Position, *, policy: Policy | None = None
) -> Tally:
    """Count one record; a record that was counted before changes nothing.

    Args:
        tally: So far; `fitted` to the policy.
        observation: The record.
        position: Of the live rollout.
        policy: Of its rules; None counts without any.
    """
    if is_counted(tally, observation.source, observation.offset):
        return tally
    place = _reached(tally, observation.source, observation.offset)
    drawn, subject = position.draw_at(observation.route_epoch), position.subject
    says_nothing = observation.outcome == "ignored" or observation.is_pinned
    if says_nothing or drawn is None or subject is None:
        return replace(tally, offsets=place)
    draw = assignment(position, version=observation.version, route_epoch=observation.route_epoch)
    comparison = tally.comparison
    if draw is not None and policy is not None:
        comparison = compared.add_served(comparison, observation, draw, policy=policy, step=position.step)
    rows = _step_rows(observation, position)
    rivals = observe_rivals(tally.rivals, observation, draw) if draw else tally.rivals
    answers = _hear(tally, observation, draw, units=comparison.units.units)
    tally = replace(
        tally, offsets=place, comparison=comparison, rivals=rivals, step_rows=tally.step_rows + rows
    )
    is_canary = observation.version == subject.version
    if not is_canary and observation.version != drawn.champion:
        return tally  # a rival, or a version that has left
    if is_canary:
        canary_rows = tally.step_canary_rows + rows
        counted = replace(tally, canary=count(tally.canary, observation), step_canary_rows=canary_rows)
    else:
        counted = replace(tally, champion=count(tally.champion, observation), answers=answers)
    if draw is None:
        is_whole = drawn.weight_ppm == WHOLE_PPM
        return _add_bake_evidence(counted, observation) if is_whole and is_canary else counted
    return _add_evidence(counted, observation, is_canary=is_canary, share=draw.share_beside_champion(0))


def _hear(
    tally: Tally, observation: Observation, draw: Assignment | None, *, units: int
) -> single_class.Answers:
    """The champion's answers with this one; a unit that comes back says nothing anew."""
    comes_back = observation.unit != "" and units == tally.comparison.units.units
    if draw is None or draw.arm != len(draw.versions) - 1 or observation.outcome != "good" or comes_back:
        return tally.answers
    return single_class.observe(tally.answers, observation.classes, share=draw.share_beside_champion(0))


def observe_shadow(tally: Tally, seen: ShadowSeen, position: Position) -> Tally:
    """Count a copy that the version in shadow answered; one that was counted before changes nothing."""
    if is_counted(tally, seen.source, seen.offset):
        return tally
    passed = pass_over(tally, seen.source, seen.offset)
    is_ours = is_shadow_of(position, version=seen.version, route_epoch=seen.route_epoch)
    if seen.is_pinned or not is_ours:
        return passed
    is_present = position.state == "SHADOW" and seen.route_epoch >= position.step_epoch
    rows = seen.rows if is_present and seen.outcome in ("good", "slow") else 0
    return replace(
        passed,
        shadow=shadows.observe(passed.shadow, seen),
        step_rows=passed.step_rows + rows,
        step_canary_rows=passed.step_canary_rows + rows,
    )


def is_shadow_of(position: Position, *, version: str, route_epoch: int) -> bool:
    """Whether an answer in shadow is of the version that is rolled out, and of this rollout."""
    subject = position.subject
    if subject is None or subject.version != version:
        return False
    is_present = position.state == "SHADOW" and route_epoch >= position.step_epoch
    return is_present or position.draw_at(route_epoch) is not None


def _step_rows(observation: Observation, position: Position) -> int:
    """0 where the request was routed before the present step began.

    In a step in shadow the rows that both versions answered count, not those that only the champion did.
    """
    is_counted_here = observation.route_epoch >= position.step_epoch and position.state != "SHADOW"
    return observation.rows if is_counted_here else 0


def _add_evidence(tally: Tally, observation: Observation, *, is_canary: bool, share: float) -> Tally:
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
