"""How a version enters a step: who answers what from then on."""

from dataclasses import dataclass

from services.rollout.domain.log_entry import WHOLE_PPM
from services.rollout.domain.state_machine import State
from slipway.spec_sections import Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """A step's beginning; its numbers go into the log, so that the routes follow from it alone.

    Attributes:
        step: Its index; -1 for the bake.
        text: In words.
    """

    state: State
    step: int = -1
    weight_ppm: int = 0
    mirror_ppm: int = 0
    max_mirrored_per_s: float = 0.0
    text: str


def entrance(rollout: Rollout, index: int, *, rivals: int) -> Entrance:
    """Where a version goes: into the step of that index, or into the bake where none is left.

    Args:
        rollout: The policy.
        index: Of the step.
        rivals: Versions beside it in an A/B step; all new ones share the step's weight equally.
    """
    if index >= len(rollout.steps) or rollout.steps[index].kind == "blue_green":
        text = "all requests, the old champion stays warm"
        return Entrance(state=State.BAKE, weight_ppm=WHOLE_PPM, text=text)
    step = rollout.steps[index]
    if step.kind == "shadow":
        return Entrance(
            state=State.SHADOW,
            step=index,
            mirror_ppm=to_ppm(step.mirror_percent),
            max_mirrored_per_s=step.max_mirrored_per_s,
            text=f"shadow of {step.mirror_percent:g} % of the requests, "
            f"{step.max_mirrored_per_s:g} a second and gateway at most",
        )
    if step.kind == "ab":
        return Entrance(
            state=State.AB,
            step=index,
            weight_ppm=max(1, to_ppm(step.weight_percent) // (1 + rivals)),
            text=f"A/B at {step.weight_percent:g} % for {1 + rivals} new version{'s' if rivals else ''}",
        )
    text = f"canary at {step.weight_percent:g} %"
    return Entrance(state=State.CANARY, step=index, weight_ppm=to_ppm(step.weight_percent), text=text)


def to_ppm(percent: float) -> int:
    """A share in parts per million, never rounded to nothing."""
    return max(1, round(percent / 100 * WHOLE_PPM))
