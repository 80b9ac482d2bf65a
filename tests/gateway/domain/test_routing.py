import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.routing import BUCKETS, Arm, Route, arm_of_version, bucket_of, choose
from slipway.errors import NotFound, Unavailable


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
