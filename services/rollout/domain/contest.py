"""An A/B step: which of the new versions is better than the champion, if any is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import exp, log
from typing import Final

from services.rollout.domain import mean_sequence
from services.rollout.domain.alpha_split import is_rejected
from services.rollout.domain.arms_analysis import Direction, analyse_means
from services.rollout.domain.finding import Finding, Standing
from services.rollout.domain.log_entry import Version
from services.rollout.domain.moments import NO_MOMENTS, Moments
from services.rollout.domain.rule_evidence import EXPECTED_MULTIPLE
from slipway.spec_sections import Step

NAME: Final = "A/B comparison"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """How an A/B step stands.

    Attributes:
        winner: The best of those shown to be better than the champion; None: none is, so far.
        is_decided: It was read, or nothing that could still come would name a winner.
    """

    finding: Finding
    winner: Version | None = None
    is_decided: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arm:
    """One new version beside the champion; `gain` is how much better it is, on the metric's scale."""

    version: Version
    gain: float
    direction: Direction
    log_e_better: float = 0.0
    text: str


def judge_contest(
    seen: Mapping[str, Moments], versions: tuple[Version, ...], *, control: str, step: Step, alpha: float
) -> Contest:
    """Compare each new version with the champion.

    `at_end` is read when every arm has its samples. A reading without a winner ends the step; one with a
    winner that a gate holds back is read again, and a winner must then still be one: more looks can only
    take a promotion away. `sequential` may be read at any time from the minimum sample on, at alpha / arms.

    Args:
        seen: The metric per version, over the requests of this step.
        versions: The new ones.
        control: The champion.
        step: Its metric, direction and samples.
        alpha: For all arms together: that one that is no better wins.
    """
    arms = {name: seen.get(name, NO_MOMENTS) for name in (control, *(v.version for v in versions))}
    samples = min(arm.count for arm in arms.values())
    head = f"{step.metric}, {step.better} is better: {_shown(arms, step.min_samples)}"
    gathering = Finding(
        name=NAME, standing=Standing.GATHERING, samples=samples, needed=step.min_samples, text=head
    )
    if samples < step.min_samples:
        return Contest(finding=gathering)
    read = _at_end if step.analysis == "at_end" else _sequential
    found = read(arms, versions, control=control, step=step, alpha=alpha)
    finding = replace(
        gathering,
        text=f"{head}; {', '.join(arm.text for arm in found)}",
        log_e_proof=max(arm.log_e_better for arm in found),
        log_proof_limit=log(len(versions) / alpha) if step.analysis == "sequential" else 0.0,
    )
    return _decided(finding, found, step)


def _decided(finding: Finding, found: list[_Arm], step: Step) -> Contest:
    better = [arm for arm in found if arm.direction is Direction.BETTER]
    if better:
        best = max(better, key=lambda arm: arm.gain).version
        text = f"version {best.version} is better: {finding.text}"
        won = replace(finding, standing=Standing.PROVEN, text=text)
        return Contest(finding=won, winner=best, is_decided=True)
    is_hopeless = all(arm.direction is Direction.WORSE for arm in found)
    return Contest(finding=finding, is_decided=step.analysis == "at_end" or is_hopeless)


def _at_end(
    arms: Mapping[str, Moments], versions: tuple[Version, ...], *, control: str, step: Step, alpha: float
) -> list[_Arm]:
    # Where nothing varies no error can be estimated, and nothing is shown.
    varied = [v for v in versions if arms[control].variance + arms[v.version].variance > 0]
    results = {}
    if varied:
        compared = {name: arms[name] for name in (control, *(v.version for v in varied))}
        # Holm over the arms that are left, with their part of alpha: those left out are paid for.
        part = alpha * len(varied) / len(versions)
        found = analyse_means(compared, control=control, alpha=part, is_larger_better=step.better == "higher")
        results = {result.arm: result for result in found}
    told = []
    for version in versions:
        result = results.get(version.version)
        direction = result.direction if result else Direction.OPEN
        p_text = f"p {result.p_value:.2g}" if result else "nothing varies"
        told.append(
            _Arm(
                version=version,
                gain=_gain(arms[control], arms[version.version], step),
                direction=direction,
                text=f"version {version.version} {direction} ({p_text})",
            )
        )
    return told


def _sequential(
    arms: Mapping[str, Moments], versions: tuple[Version, ...], *, control: str, step: Step, alpha: float
) -> list[_Arm]:
    part = alpha / len(versions)
    rho = mean_sequence.scale(EXPECTED_MULTIPLE * step.min_samples, alpha=0.05)
    told = []
    for version in versions:
        gains = mean_sequence.difference(arms[control], arms[version.version])
        if step.better == "lower":
            gains = replace(gains, mean=-gains.mean)
        better = mean_sequence.log_e_above(gains, 0.0, rho=rho)
        worse = mean_sequence.log_e_above(replace(gains, mean=-gains.mean), 0.0, rho=rho)
        direction = Direction.OPEN
        if is_rejected(better, alpha=part):
            direction = Direction.BETTER
        elif is_rejected(worse, alpha=part):
            direction = Direction.WORSE
        e_text = f"e-value {exp(min(better, 700.0)):.2g} of {exp(-log(part)):.4g}"
        told.append(
            _Arm(
                version=version,
                gain=gains.mean,
                direction=direction,
                log_e_better=better,
                text=f"version {version.version} {direction} ({e_text})",
            )
        )
    return told


def _gain(control: Moments, arm: Moments, step: Step) -> float:
    return arm.mean - control.mean if step.better == "higher" else control.mean - arm.mean


def _shown(arms: Mapping[str, Moments], needed: int) -> str:
    return ", ".join(
        f"version {name} {arm.mean:.4g} in {arm.count:,} of {needed:,} samples" for name, arm in arms.items()
    )
