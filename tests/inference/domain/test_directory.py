from hypothesis import given
from hypothesis import strategies as st

from services.inference.domain.directory import Directory, updated
from services.inference.domain.fleet import VersionState
from services.inference.domain.replicas import DRAINING, READY
from services.inference.domain.version import Version


def _state(digest: str, state: str) -> VersionState:
    return VersionState(version=Version(model="m", version="1", digest=digest), state=state)


def test_nothing_new_is_no_new_directory() -> None:
    directory = Directory(epoch=5, versions=(_state("a", READY),))
    assert updated(directory, (_state("a", READY),), now_s=9) is directory


@given(st.lists(st.tuples(st.sampled_from([READY, DRAINING]), st.floats(0, 10)), max_size=20))
def test_the_epoch_grows_with_each_change_whatever_the_clock_does(steps: list[tuple[str, float]]) -> None:
    directory = Directory(epoch=0)
    for state, now_s in steps:
        after = updated(directory, (_state("a", state),), now_s=now_s)
        assert after is directory or after.epoch > directory.epoch
        directory = after


def test_of_two_digests_the_one_in_service_is_found() -> None:
    directory = Directory(epoch=1, versions=(_state("a", DRAINING), _state("b", READY)))
    assert directory.find("m", "1") == _state("b", READY)
    assert directory.find("m", "2") is None
