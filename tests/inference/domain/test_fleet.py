"""The life of a version, step by step and under random events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.domain.fleet import App, Fleet, Policy, VersionState
from services.inference.domain.replicas import DRAINING, FAILED, LOADING, READY, Replicas, Report
from services.inference.domain.version import Version

POLICY = Policy(drain_s=10, load_deadline_s=120, retry_first_s=30, retry_limit_s=100, max_loading=2)
V1 = Version(model="m", version="1", digest="a" * 64)
V2 = Version(model="m", version="2", digest="b" * 64)
UP = {V1.app_name: App()}


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(POLICY)


@pytest.fixture
def replicas() -> Replicas:
    return Replicas(expire_after_s=3.5)


def _report(state: str, *, version: Version = V1, replica: str = "r1", message: str = "") -> Report:
    return Report(version=version, replica_id=replica, state=state, message=message, target=f"host:{replica}")


def _deployed(fleet: Fleet, replicas: Replicas, *, wanted: int = 1) -> None:
    fleet.want({V1: wanted}, 0)
    assert fleet.plan({}, replicas, now_s=0).deploy == (V1,)
    fleet.asked(V1, 0)


def _only(fleet: Fleet, replicas: Replicas) -> VersionState:
    (state,) = fleet.states(replicas)
    return state


def test_a_wanted_version_is_deployed_once_and_becomes_ready(fleet: Fleet, replicas: Replicas) -> None:
    _deployed(fleet, replicas)
    assert fleet.plan(UP, replicas, now_s=1).deploy == ()
    assert _only(fleet, replicas) == VersionState(version=V1, state=LOADING)
    replicas.report(_report(READY), 4)
    assert fleet.notice(replicas, 4) == {V1: 4}
    assert fleet.notice(replicas, 5) == {}
    assert _only(fleet, replicas) == VersionState(version=V1, state=READY, targets=("host:r1",))


def test_it_is_ready_when_all_replicas_are_and_stays_so_while_one_is(
    fleet: Fleet, replicas: Replicas
) -> None:
    _deployed(fleet, replicas, wanted=2)
    replicas.report(_report(READY), 0)
    fleet.notice(replicas, 0)
    assert _only(fleet, replicas).state == LOADING
    replicas.report(_report(READY, replica="r2"), 3)
    fleet.notice(replicas, 3)
    replicas.expire(4)
    fleet.notice(replicas, 4)
    assert _only(fleet, replicas) == VersionState(version=V1, state=READY, targets=("host:r2",))


def test_an_adopted_version_is_not_counted_as_deployed(fleet: Fleet, replicas: Replicas) -> None:
    fleet.want({V1: 1}, 0)
    assert fleet.plan(UP, replicas, now_s=0).deploy == ()
    replicas.report(_report(READY), 1)
    assert fleet.notice(replicas, 1) == {}
    assert _only(fleet, replicas).state == READY


def test_what_nobody_names_is_deleted_after_the_delay(fleet: Fleet, replicas: Replicas) -> None:
    _deployed(fleet, replicas)
    replicas.report(_report(READY), 1)
    fleet.want({}, 1)
    fleet.want({}, 5)
    assert fleet.plan(UP, replicas, now_s=10.9).delete == ()
    assert _only(fleet, replicas) == VersionState(version=V1, state=DRAINING, targets=("host:r1",))
    assert fleet.plan(UP, replicas, now_s=11).delete == (V1.app_name,)
    assert fleet.plan({V1.app_name: App(is_deleting=True)}, replicas, now_s=12).delete == ()
    assert fleet.plan({}, replicas, now_s=13).deploy == ()
    assert fleet.states(replicas) == ()


def test_a_version_that_comes_back_in_time_stays(fleet: Fleet, replicas: Replicas) -> None:
    _deployed(fleet, replicas)
    fleet.want({}, 1)
    fleet.want({V1: 1}, 9)
    plan = fleet.plan(UP, replicas, now_s=30)
    assert (plan.deploy, plan.delete) == ((), ())


def test_a_version_that_comes_back_while_it_is_deleted_waits_for_the_end(
    fleet: Fleet, replicas: Replicas
) -> None:
    fleet.want({V1: 1}, 0)
    assert fleet.plan({V1.app_name: App(is_deleting=True)}, replicas, now_s=1).deploy == ()
    assert fleet.plan({}, replicas, now_s=2).deploy == (V1,)


def test_a_failed_replica_takes_the_application_down_and_the_retry_waits(
    fleet: Fleet, replicas: Replicas
) -> None:
    _deployed(fleet, replicas)
    replicas.report(_report(FAILED, message="digest differs"), 1)
    plan = fleet.plan(UP, replicas, now_s=1)
    assert (plan.delete, plan.failed) == ((V1.app_name,), ((V1, "digest differs"),))
    assert _only(fleet, replicas) == VersionState(version=V1, state=FAILED, message="digest differs")
    replicas.forget(V1.app_name)
    assert fleet.plan({}, replicas, now_s=30).deploy == ()
    assert fleet.plan({}, replicas, now_s=31).deploy == (V1,)
    fleet.asked(V1, 31)
    assert _only(fleet, replicas).state == LOADING


def test_retries_wait_longer_each_time_and_no_longer_than_the_limit(fleet: Fleet, replicas: Replicas) -> None:
    fleet.want({V1: 1}, 0)
    waits = []
    for _ in range(40):
        fleet.fail(V1, "no", now_s=0)
        waits.append(next(s for s in range(1000) if fleet.plan({}, replicas, now_s=s).deploy))
    assert waits == [30, 60] + [100] * 38


def test_success_makes_the_next_failure_a_first_one(fleet: Fleet, replicas: Replicas) -> None:
    fleet.want({V1: 1}, 0)
    fleet.fail(V1, "no", now_s=0)
    fleet.fail(V1, "no", now_s=0)
    replicas.report(_report(READY), 1)
    fleet.notice(replicas, 1)
    fleet.fail(V1, "no", now_s=0)
    assert fleet.plan({}, Replicas(expire_after_s=1), now_s=30).deploy == (V1,)


def test_a_replica_that_fails_beside_a_ready_one_changes_nothing(fleet: Fleet, replicas: Replicas) -> None:
    _deployed(fleet, replicas)
    replicas.report(_report(READY), 1)
    replicas.report(_report(FAILED, replica="r2"), 1)
    assert fleet.plan(UP, replicas, now_s=1).failed == ()


@pytest.mark.parametrize(
    ("app", "report", "reason"),
    [
        (App(is_failed=True, message="out of memory"), None, "Ray Serve gave up on it: out of memory"),
        (App(), _report(FAILED), "a replica failed without saying why"),
        (App(message="no cpus"), None, "no replica was ready within 120 s: no cpus"),
        (
            App(),
            _report(LOADING, message="registry away"),
            "no replica was ready within 120 s: registry away",
        ),
        (App(), None, "no replica was ready within 120 s: Ray Serve says nothing"),
    ],
)
def test_the_reason_is_named(
    fleet: Fleet, replicas: Replicas, app: App, report: Report | None, reason: str
) -> None:
    _deployed(fleet, replicas)
    if report:
        replicas.report(report, 121)
    assert fleet.plan({V1.app_name: app}, replicas, now_s=121).failed == ((V1, reason),)


def test_the_deadline_starts_anew_when_all_replicas_are_lost(fleet: Fleet, replicas: Replicas) -> None:
    _deployed(fleet, replicas)
    replicas.report(_report(READY), 100)
    fleet.notice(replicas, 100)
    replicas.expire(200)  # long after the last beat
    fleet.notice(replicas, 200)
    assert _only(fleet, replicas).state == LOADING
    assert fleet.plan(UP, replicas, now_s=320).failed == ()
    assert fleet.plan(UP, replicas, now_s=321).failed != ()


def test_what_a_version_waits_for_is_told(fleet: Fleet, replicas: Replicas) -> None:
    fleet.want({V1: 1}, 0)
    fleet.hold(V1, "registry away", now_s=0)
    assert _only(fleet, replicas).message == "registry away"
    replicas.report(_report(LOADING, message="waits for the model"), 1)
    assert _only(fleet, replicas).message == "waits for the model"


def test_only_so_many_load_at_once(fleet: Fleet, replicas: Replicas) -> None:
    many = [Version(model="m", version=str(n), digest=f"{n}" * 64) for n in range(5)]
    fleet.want(dict.fromkeys(many, 1), 0)
    first = fleet.plan({}, replicas, now_s=0).deploy
    assert len(first) == 2
    for version in first:
        fleet.asked(version, 0)
    apps = {version.app_name: App() for version in first}
    assert fleet.plan(apps, replicas, now_s=1).deploy == ()
    replicas.report(_report(READY, version=first[0]), 2)
    fleet.notice(replicas, 2)
    assert len(fleet.plan(apps, replicas, now_s=2).deploy) == 1


def test_who_must_wait_lets_others_go_first(fleet: Fleet, replicas: Replicas) -> None:
    many = [Version(model="m", version=str(n), digest=f"{n}" * 64) for n in range(4)]
    fleet.want(dict.fromkeys(many, 1), 0)
    first = fleet.plan({}, replicas, now_s=0).deploy
    for version in first:
        fleet.hold(version, "registry away", now_s=0)
    assert not set(first) & set(fleet.plan({}, replicas, now_s=1).deploy)
    assert fleet.plan({}, replicas, now_s=2).deploy == first


def test_applications_of_an_earlier_life_go_after_the_same_delay(fleet: Fleet, replicas: Replicas) -> None:
    apps = {V2.app_name: App(), "not-ours": App(), "slipway.x.1.0": App(is_deleting=True)}
    assert fleet.plan(apps, replicas, now_s=0).delete == ()
    assert fleet.plan(apps, replicas, now_s=9).delete == ()
    assert fleet.plan(apps, replicas, now_s=10).delete == (V2.app_name,)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["want", "drop", "ready", "failed", "step", "lost"]), st.sampled_from([V1, V2])
        ),
        max_size=60,
    )
)
def test_it_never_deploys_what_exists_nor_deletes_what_is_named_and_ready(
    events: list[tuple[str, Version]],
) -> None:
    fleet, replicas = Fleet(POLICY), Replicas(expire_after_s=3.5)
    wanted: dict[Version, int] = {}
    apps: dict[str, App] = {}
    for now_s, (event, version) in enumerate(events):
        if event == "want":
            wanted[version] = 1
        elif event == "drop":
            wanted.pop(version, None)
        elif event in ("ready", "failed") and version.app_name in apps:
            replicas.report(
                _report(READY if event == "ready" else FAILED, version=version, replica=version.version),
                now_s,
            )
        elif event == "lost":
            apps.pop(version.app_name, None)
        fleet.want(wanted, now_s)
        replicas.expire(now_s)
        fleet.notice(replicas, now_s)
        plan = fleet.plan(apps, replicas, now_s=now_s)
        assert not {v.app_name for v in plan.deploy} & apps.keys()
        named_and_ready = {v.app_name for v in wanted if replicas.targets(v)}
        assert not named_and_ready & set(plan.delete)
        for name in plan.delete:
            del apps[name]
            replicas.forget(name)
        for asked in plan.deploy:
            assert asked in wanted
            apps[asked.app_name] = App()
            fleet.asked(asked, now_s)
        assert {s.version for s in fleet.states(replicas)} >= wanted.keys()
