"""Who answers a unit, over the whole chain: the rollout log, its route table, the gateway that chooses."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.catalog import Catalog
from services.gateway.domain.routing import bucket_of, choose
from services.rollout.domain.position import Position
from services.rollout.domain.state_machine import Trigger
from services.rollout.messages import to_routes
from services.rollout.rows import SpecRow
from slipway.v1.rollout_pb2 import ModelSpec, RouteTable
from tests.rollout.rollouts import History

WHOLE_PPM = 1_000_000
YAML = 'name: m\ntask: binary\nfeatures: [{name: a}]\nlabel: {name: y, classes: ["0", "1"]}\n'
ROW = SpecRow(
    model="m",
    revision=1,
    tenant="default",
    yaml=YAML,
    recipe="",
    recipe_digest="",
    digest="d",
    applied_by="test",
    applied_at_s=0.0,
)

shares = st.lists(st.integers(1, WHOLE_PPM - 1), min_size=1, max_size=6, unique=True).map(sorted)
units = st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=30, unique=True)


class Gateway:
    """A gateway's catalog behind the topic."""

    def __init__(self) -> None:
        self._catalog = Catalog()
        self._catalog.apply_spec(ModelSpec(name="m", tenant="default", revision=1, yaml=YAML))

    def follow(self, position: Position) -> None:
        """Take the position's table as it comes over the wire."""
        table = to_routes(ROW, position, profiles={}, written_at_s=0.0)
        self._catalog.apply_route(RouteTable.FromString(table.SerializeToString()))

    def version_for(self, unit: str) -> str:
        return choose(self._catalog.models["m"].route, unit).version

    @property
    def salt(self) -> str:
        return self._catalog.models["m"].route.salt


def grown(weights_ppm: list[int]) -> list[Position]:
    """Version 2 beside champion 1, its share as given, then everything, then done."""
    history = History().promote(1)
    history.add(Trigger.START, version=2)
    positions = [history.position]
    for step, weight_ppm in enumerate(weights_ppm):
        trigger = Trigger.STEP_PASSED if step else Trigger.READY
        positions.append(history.add(trigger, step=step, weight_ppm=weight_ppm))
    positions.append(history.add(Trigger.STEPS_PASSED, weight_ppm=WHOLE_PPM))
    positions.append(history.add(Trigger.BAKED, weight_ppm=WHOLE_PPM))
    return positions


def answers(positions: list[Position], units: list[str]) -> list[list[str]]:
    """The versions that answer the units, by position."""
    gateway, found = Gateway(), []
    for position in positions:
        gateway.follow(position)
        found.append([gateway.version_for(unit) for unit in units])
    return found


@given(shares, units)
def test_a_unit_never_leaves_the_new_version_while_its_share_grows(
    weights_ppm: list[int], units: list[str]
) -> None:
    for before, after in pairwise(answers(grown(weights_ppm), units)):
        assert all(then == "2" for now, then in zip(before, after, strict=True) if now == "2")


@given(shares, units)
def test_a_growing_share_moves_only_the_units_between_the_old_and_the_new_one(
    weights_ppm: list[int], units: list[str]
) -> None:
    positions = grown(weights_ppm)[1:-2]
    gateway = Gateway()
    gateway.follow(positions[0])
    places = [bucket_of(unit, gateway.salt) for unit in units]
    found = answers(positions, units)
    for weight_ppm, row in zip(weights_ppm, found, strict=True):
        assert row == ["2" if place < weight_ppm else "1" for place in places]


@given(units, st.integers(1, WHOLE_PPM))
def test_an_abort_gives_every_unit_back(units: list[str], weight_ppm: int) -> None:
    history = History().promote(1)
    history.add(Trigger.START, version=2)
    canary = history.add(Trigger.READY, step=0, weight_ppm=weight_ppm)
    assert answers([canary, history.add(Trigger.ABORT)], units)[-1] == ["1"] * len(units)


@given(units)
def test_weight_0_is_no_traffic_at_all(units: list[str]) -> None:
    history = History().promote(1).promote(2)
    standby = history.position
    warming = history.add(Trigger.START, version=3)
    assert {arm.weight_ppm for arm in to_routes(ROW, warming, profiles={}, written_at_s=0.0).arms} == {
        0,
        WHOLE_PPM,
    }
    assert answers([standby, warming], units) == [["2"] * len(units)] * 2


@given(units, st.integers(1, WHOLE_PPM - 1))
def test_a_pause_and_a_newer_epoch_move_nobody(units: list[str], weight_ppm: int) -> None:
    history = History().promote(1)
    history.add(Trigger.START, version=2)
    positions = [history.add(Trigger.READY, step=0, weight_ppm=weight_ppm)]
    for trigger in (Trigger.PAUSE, Trigger.RECONCILE, Trigger.RESUME):
        positions.append(history.add(trigger, step=0, weight_ppm=weight_ppm))
    assert len({tuple(row) for row in answers(positions, units)}) == 1


def test_two_rollouts_choose_their_units_independently() -> None:
    units = [str(n) for n in range(2000)]
    chosen = []
    history = History().promote(1)
    for version in (2, 3):
        history.add(Trigger.START, version=version)
        canary = history.add(Trigger.READY, step=0, weight_ppm=WHOLE_PPM // 10)
        row = answers([canary], units)[0]
        chosen.append({unit for unit, found in zip(units, row, strict=True) if found == str(version)})
        history.add(Trigger.ABORT)
    assert 0 < len(chosen[0] & chosen[1]) < 60  # a tenth of a tenth, not the same tenth twice
