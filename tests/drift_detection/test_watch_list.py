import numpy as np
import pytest

from services.drift_detection.watch_list import WatchList
from slipway.envelope import Event
from slipway.errors import InvalidInput
from slipway.v1.rollout_pb2 import Arm, ModelSpec, RouteTable
from slipway.v1.tensors_pb2 import FeatureProfile, ReferenceProfile
from tests.drift_detection.bench import SPEC


def event(message: object) -> Event:
    return Event(topic="routes", key="m", message=message, event_id="e")


def routes(epoch: int, **weights: int) -> RouteTable:
    """Arms `role_version=weight`."""
    arms = [
        Arm(role=name.split("_")[0], version=name.split("_")[1], weight_ppm=weight)
        for name, weight in weights.items()
    ]
    return RouteTable(model="m", tenant="t", epoch=epoch, arms=arms)


def champion_of(*tables: RouteTable) -> str | None:
    watch_list = WatchList()
    for table in tables:
        watch_list.apply_routes(event(table))
    champion = watch_list.champion("m")
    return champion.version if champion else None


@pytest.mark.parametrize(
    ("table", "version"),
    [
        (routes(1, canary_2=50_000, champion_1=950_000), "1"),
        (routes(1, champion_2=1_000_000, standby_1=0), "2"),
        (routes(1, warming_1=0), None),
        (routes(1), None),
    ],
)
def test_the_champion_is_watched(table: RouteTable, version: str | None) -> None:
    assert champion_of(table) == version


def test_an_older_table_changes_nothing() -> None:
    assert champion_of(routes(2, champion_2=1), routes(1, champion_1=1)) == "2"
    assert champion_of(routes(2, champion_2=1), routes(3, champion_3=1)) == "3"


def test_the_reference_is_the_arms_profile() -> None:
    profile = ReferenceProfile(
        features=[FeatureProfile(feature="a", counts=[3, 4], missing=2)],
        classes=["0", "1"],
        predicted_counts=[5, 2],
    )
    arm = Arm(version="1", role="champion", weight_ppm=1, profile=profile)
    arm.input_profile.density.calibration = np.arange(3, dtype="<f4").tobytes()
    watch_list = WatchList()
    watch_list.apply_routes(event(RouteTable(model="m", tenant="t", epoch=4, arms=[arm])))
    champion = watch_list.champion("m")
    assert champion is not None
    assert champion.reference.features["a"].counts == (3, 4)
    assert champion.reference.features["a"].missing == 2
    assert (champion.reference.predicted, champion.epoch, watch_list.tenant("m")) == ((5, 2), 4, "t")
    assert champion.reference.calibration_rows == 3


def test_policy_and_classes_come_from_the_spec_and_a_bad_one_changes_nothing() -> None:
    watch_list = WatchList()
    watch_list.apply_spec(event(ModelSpec(name="m", yaml=SPEC.format(name="m"))))
    with pytest.raises(InvalidInput):
        watch_list.apply_spec(event(ModelSpec(name="m", yaml="name: [")))
    policy = watch_list.policy("m")
    assert policy is not None
    assert (policy.block_rows, policy.window_rows, policy.performance_blocks) == (20, 200, 5)
    assert watch_list.classes("m") == ("0", "1")


def test_models_nobody_declared_are_not_watched() -> None:
    watch_list = WatchList()
    assert (watch_list.champion("m"), watch_list.policy("m")) == (None, None)
    assert (watch_list.classes("m"), watch_list.tenant("m")) == ((), "")
