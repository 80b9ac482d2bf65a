from services.inference.domain.demand import Demand, Resources
from services.inference.domain.version import Version, replica_key

V1, V2 = (Version(model="m", version=v, digest=v * 64) for v in "12")
RESOURCES = Resources(spec_yaml="name: m", replicas=2, cpus_per_replica=0.1)


def test_a_version_is_wanted_when_it_has_an_arm_and_a_spec() -> None:
    demand = Demand()
    assert demand.set_arms("m", frozenset({V1}), epoch=1)
    assert demand.wanted() == {}
    assert demand.set_resources("m", RESOURCES, revision=1)
    assert demand.wanted() == {V1: RESOURCES}


def test_older_news_are_not_taken() -> None:
    demand = Demand()
    demand.set_arms("m", frozenset({V2}), epoch=7)
    demand.set_resources("m", RESOURCES, revision=2)
    assert not demand.set_arms("m", frozenset({V1}), epoch=6)
    assert not demand.set_resources("m", RESOURCES, revision=1)
    assert demand.set_arms("m", frozenset({V2}), epoch=7)
    assert demand.wanted() == {V2: RESOURCES}


def test_a_replica_key_is_good_for_one_version() -> None:
    assert replica_key("token", V1) == replica_key("token", V1)
    assert len({replica_key("token", V1), replica_key("token", V2), replica_key("other", V1)}) == 3


def test_another_digest_is_another_application() -> None:
    other = Version(model="m", version="1", digest="f" * 64)
    assert other.app_name != V1.app_name == "slipway.m.1.1111111111111111"
