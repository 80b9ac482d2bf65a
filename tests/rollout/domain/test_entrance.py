from services.rollout.domain.entrance import entrance, to_ppm
from services.rollout.domain.log_entry import WHOLE_PPM
from services.rollout.domain.state_machine import State
from slipway.spec_sections import Rollout, Step

MIXED = Rollout(
    steps=(
        Step(kind="shadow", mirror_percent=20, max_mirrored_per_s=5),
        Step(weight_percent=5),
        Step(kind="ab", weight_percent=30, metric="error_rate", better="lower"),
        Step(kind="blue_green"),
    )
)


def test_a_shadow_answers_nobody_and_its_load_is_capped() -> None:
    place = entrance(MIXED, 0, rivals=0)
    assert (place.state, place.step, place.weight_ppm) == (State.SHADOW, 0, 0)
    assert (place.mirror_ppm, place.max_mirrored_per_s) == (200_000, 5)


def test_a_canary_has_its_weight() -> None:
    place = entrance(MIXED, 1, rivals=2)
    assert (place.state, place.weight_ppm, place.mirror_ppm) == (State.CANARY, 50_000, 0)
    assert place.text == "canary at 5 %"


def test_all_new_versions_of_an_ab_step_share_its_weight_equally() -> None:
    assert entrance(MIXED, 2, rivals=2).weight_ppm == 100_000
    alone = entrance(MIXED, 2, rivals=0)
    assert (alone.state, alone.weight_ppm) == (State.AB, 300_000)
    assert alone.text == "A/B at 30 % for 1 new version"


def test_blue_green_and_the_end_of_the_steps_lead_to_all_requests() -> None:
    for index in (3, 4):
        place = entrance(MIXED, index, rivals=0)
        assert (place.state, place.step, place.weight_ppm) == (State.BAKE, -1, WHOLE_PPM)


def test_a_share_is_never_rounded_to_nothing() -> None:
    assert to_ppm(1e-9) == 1
    tiny = Rollout(steps=(Step(kind="ab", weight_percent=1e-4, metric="cost", better="lower"),))
    assert entrance(tiny, 0, rivals=3).weight_ppm == 1
