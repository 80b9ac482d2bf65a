from services.inference.domain.replicas import LOADING, READY, Replicas, Report, Use
from services.inference.domain.version import Version

V = Version(model="m", version="1", digest="a" * 64)


def _report(replica: str = "r1", **fields: object) -> Report:
    return Report(**({"version": V, "replica_id": replica, "state": READY, "target": replica} | fields))  # type: ignore[arg-type]


def test_a_silent_replica_is_forgotten() -> None:
    replicas = Replicas(expire_after_s=3)
    replicas.report(_report("old"), 0)
    replicas.report(_report("new"), 2)
    assert replicas.expire(3) == []
    assert replicas.expire(4) == [_report("old")]
    assert replicas.targets(V) == ("new",)
    assert replicas.count_ready() == 1


def test_the_last_ready_replica_is_given_longer() -> None:
    replicas = Replicas(expire_after_s=3)
    replicas.report(_report("a"), 0)
    replicas.report(_report("b", state=LOADING, target=""), 11)
    assert replicas.expire(12) == []
    assert replicas.expire(12.5) == [_report("a")]


def test_use_is_counted_from_report_to_report() -> None:
    replicas = Replicas(expire_after_s=3)
    assert replicas.report(_report(use=Use(requests=5, rows=50)), 0) == Use()
    later = Use(requests=7, rows=55, failures=1, compute_s=0.5)
    assert replicas.report(_report(use=later), 1) == Use(requests=2, rows=5, failures=1, compute_s=0.5)
    assert replicas.report(_report(use=Use()), 2) == Use()


def test_the_replicas_of_a_deleted_application_are_forgotten() -> None:
    replicas = Replicas(expire_after_s=3)
    replicas.report(_report(), 0)
    replicas.forget("slipway.other.1.a")
    assert replicas.targets(V) == ("r1",)
    replicas.forget(V.app_name)
    assert replicas.targets(V) == ()


def test_the_first_that_says_something_is_heard() -> None:
    replicas = Replicas(expire_after_s=3)
    replicas.report(_report("a", state=LOADING), 0)
    replicas.report(_report("b", state=LOADING, message="waits"), 0)
    assert replicas.message(V, LOADING) == "waits"
    assert replicas.message(V, READY) == ""
