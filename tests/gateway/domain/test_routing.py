import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.routing import (
    BUCKETS,
    Arm,
    Route,
    arm_of_role,
    arm_of_version,
    bucket_of,
    choose,
)
from slipway.errors import InvalidInput, NotFound, Unavailable


def arm(version: str, role: str, weight_ppm: int) -> Arm:
    return Arm(version=version, digest="", upstream="inference", role=role, weight_ppm=weight_ppm)


def route(canary_ppm: int, salt: str = "s") -> Route:
    champion = arm("1", "champion", BUCKETS - canary_ppm)
    canary = arm("2", "canary", canary_ppm)
    return Route(model="m", epoch=1, salt=salt, arms=(champion, canary, arm("0", "standby", 0)))


@given(
    st.lists(st.text(max_size=20), min_size=1, max_size=50), st.integers(0, BUCKETS), st.integers(0, BUCKETS)
)
def test_a_larger_canary_only_gains_units(units: list[str], a: int, b: int) -> None:
    small, large = sorted((a, b))
    before = {unit for unit in units if choose(route(small), unit).version == "2"}
    after = {unit for unit in units if choose(route(large), unit).version == "2"}
    assert before <= after


@given(st.text(), st.text(max_size=8))
def test_a_unit_keeps_its_place(unit: str, salt: str) -> None:
    assert bucket_of(unit, salt) == bucket_of(unit, salt)
    assert 0 <= bucket_of(unit, salt) < BUCKETS


def test_places_are_the_same_in_every_release() -> None:
    assert [bucket_of(unit, "salt") for unit in ("", "u1", "u2")] == [928063, 494254, 893665]


def test_shares_come_out_as_weighted() -> None:
    answered = [choose(route(50_000), f"unit-{n}").version for n in range(20_000)]
    share = answered.count("2") / len(answered)
    assert abs(share - 0.05) < 5 * (0.05 * 0.95 / len(answered)) ** 0.5


def test_another_salt_moves_units() -> None:
    chosen = {choose(route(500_000, salt=f"s{n}"), "u").version for n in range(50)}
    assert chosen == {"1", "2"}


def test_the_whole_range_belongs_to_a_sole_arm() -> None:
    only = Route(model="m", epoch=1, salt="", arms=(arm("1", "champion", 1),))
    assert all(choose(only, str(n)).version == "1" for n in range(100))


def test_arms_without_weight_get_nothing() -> None:
    assert [a.version for a in route(0).sharing] == ["1"]
    with pytest.raises(Unavailable, match="'m' has no version in service"):
        choose(Route(model="m", epoch=1, salt="", arms=(arm("1", "warming", 0),)), "u")


def test_a_version_by_name_must_be_in_the_table() -> None:
    assert arm_of_version(route(0), "0").role == "standby"
    with pytest.raises(NotFound, match=r"no version '9' .*it has: 1, 2, 0"):
        arm_of_version(route(0), "9")
    with pytest.raises(NotFound, match="it has: none"):
        arm_of_version(Route(model="m", epoch=1, salt="", arms=()), "9")


UNITS = st.lists(st.text(max_size=20), min_size=1, max_size=50)
NEW = ("c", "r1", "r2", "r3")


def trial(*weights: int, shuffle: int = 0) -> Route:
    """A canary and rivals of these weights, the champion with the rest, a standby without any."""
    new = [arm(v, "rival" if v != "c" else "canary", w) for v, w in zip(NEW, weights, strict=False)]
    champion = arm("1", "champion", BUCKETS - sum(weights))
    arms = [champion, *new, arm("0", "standby", 0)]
    return Route(model="m", epoch=1, salt="s", arms=tuple(arms[shuffle:] + arms[:shuffle]))


def chosen(route: Route, units: list[str]) -> dict[str, str]:
    return {unit: choose(route, unit).version for unit in units}


def only_the_grown_gain_from_the_champion(before: dict[str, str], after: dict[str, str]) -> bool:
    """Nobody leaves a new version, and nobody changes whose version did not grow."""
    return all(before[unit] in (version, "1") for unit, version in after.items())


@given(UNITS, st.tuples(*[st.integers(0, BUCKETS // 2)] * 2), st.tuples(*[st.integers(0, BUCKETS // 2)] * 2))
def test_no_unit_changes_while_a_canary_and_a_rival_grow(
    units: list[str], a: tuple[int, int], b: tuple[int, int]
) -> None:
    small = [min(pair) for pair in zip(a, b, strict=True)]
    large = [max(pair) for pair in zip(a, b, strict=True)]
    before, after = chosen(trial(*small), units), chosen(trial(*large), units)
    assert only_the_grown_gain_from_the_champion(before, after)
    if small[1] == large[1]:
        assert {u for u in units if before[u] == "r1"} == {u for u in units if after[u] == "r1"}


@given(
    UNITS,
    st.lists(st.integers(0, BUCKETS // 8), min_size=1, max_size=3),
    st.integers(0, BUCKETS // 2),
    st.integers(0, BUCKETS // 2),
)
def test_a_canary_that_grows_beside_rivals_of_fixed_weights_takes_from_the_champion_alone(
    units: list[str], rivals: list[int], a: int, b: int
) -> None:
    before, after = (chosen(trial(w, *rivals), units) for w in sorted((a, b)))
    moved = {(before[u], after[u]) for u in units if before[u] != after[u]}
    assert moved <= {("1", "c")}


@given(UNITS, st.integers(1, 3), st.integers(0, BUCKETS // 4), st.integers(0, BUCKETS // 4))
def test_no_unit_changes_while_several_rivals_grow_alike(
    units: list[str], count: int, a: int, b: int
) -> None:
    before, after = (chosen(trial(w, *[w] * count), units) for w in sorted((a, b)))
    assert only_the_grown_gain_from_the_champion(before, after)


@given(UNITS, st.integers(0, BUCKETS // 8), st.integers(1, 4))
def test_the_order_in_the_table_means_nothing(units: list[str], weight: int, shuffle: int) -> None:
    weights = (weight, weight, weight // 2, weight)
    assert chosen(trial(*weights), units) == chosen(trial(*weights, shuffle=shuffle), units)


@given(UNITS, st.sampled_from(["c", "r1", "r2", "r3", "1"]))
def test_weight_0_means_0(units: list[str], none: str) -> None:
    weights = [0 if version == none else 250_000 for version in NEW]
    if none == "1":
        weights = [250_000] * 4
    assert none not in chosen(trial(*weights), units).values()


@pytest.mark.parametrize("weights", [(50_000, 100_000), (50_000, 100_000, 30_000, 70_000), (0, 400_000, 1)])
def test_rivals_get_their_shares(weights: tuple[int, ...]) -> None:
    route, count = trial(*weights), 20_000
    answered = [choose(route, f"unit-{n}").version for n in range(count)]
    for version, weight in zip(NEW, weights, strict=False):
        share = weight / BUCKETS
        spread = (share * (1 - share) / count) ** 0.5
        assert abs(answered.count(version) / count - share) <= 5 * spread + 1e-4


def test_rivals_alone_have_the_whole_range() -> None:
    rivals = (arm("2", "rival", 2), arm("3", "rival", 1))
    only = Route(model="m", epoch=1, salt="s", arms=rivals)
    assert {choose(only, str(n)).version for n in range(100)} <= {"2", "3"}


def test_the_shadow_has_copies_and_no_units() -> None:
    shadow = Arm(version="2", digest="", upstream="", role="shadow", weight_ppm=0, mirror_ppm=1)
    off = Arm(version="3", digest="", upstream="", role="shadow", weight_ppm=0)
    champion = arm("1", "champion", BUCKETS)
    it = Route(model="m", epoch=1, salt="s", arms=(off, shadow, champion))
    assert (it.shadow, it.sharing) == (shadow, (champion,))
    assert route(5).shadow is None


def test_a_tester_chooses_an_arm_by_its_role() -> None:
    it = trial(10, 20, 30)
    assert arm_of_role(it, "canary").version == "c"
    assert arm_of_role(it, "standby").version == "0"
    assert arm_of_role(it, "rival", version="r2").version == "r2"
    with pytest.raises(InvalidInput, match=r"several arms 'rival': name the version, r1, r2"):
        arm_of_role(it, "rival")
    with pytest.raises(NotFound, match=r"no arm 'shadow' .*it has: champion 1, canary c, rival r1, rival r2"):
        arm_of_role(it, "shadow")
    with pytest.raises(NotFound, match=r"no arm 'canary' with version '1'"):
        arm_of_role(it, "canary", version="1")
    with pytest.raises(NotFound, match="it has: none"):
        arm_of_role(Route(model="m", epoch=1, salt="", arms=()), "canary")


@pytest.mark.parametrize("role", ["warming", "", "Canary", "x" * 5000])
def test_other_roles_cannot_be_chosen(role: str) -> None:
    with pytest.raises(InvalidInput, match="none of canary, champion, shadow, standby, rival") as refused:
        arm_of_role(trial(10), role)
    assert len(str(refused.value)) < 200
