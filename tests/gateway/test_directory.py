from pathlib import Path

from services.gateway.directory import SNAPSHOT, Directory
from services.gateway.domain.routing import Arm
from slipway.snapshots import write_atomically
from slipway.v1.inference_pb2 import EndpointDirectory, VersionEndpoints


def arm(version: str, upstream: str = "inference") -> Arm:
    return Arm(version=version, digest="", upstream=upstream, role="champion", weight_ppm=1)


def listed(*entries: tuple[str, str, list[str]]) -> EndpointDirectory:
    versions = [VersionEndpoints(model="m", version=v, state=s, targets=t) for v, s, t in entries]
    return EndpointDirectory(epoch=1, versions=versions)


def test_a_version_that_loads_has_no_targets() -> None:
    directory = Directory()
    directory.apply(listed(("1", "READY", ["a:1", "a:2"]), ("2", "LOADING", ["a:3"]), ("3", "READY", [])))
    found = [directory.targets("m", arm(v)) for v in "1234"]
    assert found == [("a:1", "a:2"), (), (), ()]
    assert directory.targets("n", arm("1")) == ()


def test_a_version_that_drains_still_answers() -> None:
    directory = Directory()
    directory.apply(listed(("1", "DRAINING", ["a:1"])))
    assert directory.targets("m", arm("1")) == ("a:1",)


def test_of_two_versions_with_one_number_the_one_that_stays_answers() -> None:
    directory = Directory()
    for entries in (
        (("1", "READY", ["a:2"]), ("1", "DRAINING", ["a:1"])),
        (("1", "DRAINING", ["a:1"]), ("1", "READY", ["a:2"])),
    ):
        directory.apply(listed(*entries))
        assert directory.targets("m", arm("1")) == ("a:2",)


def test_an_arm_may_name_its_server() -> None:
    assert Directory().targets("m", arm("1", "10.0.0.1:9000")) == ("10.0.0.1:9000",)
    assert Directory().targets("m", arm("1", "")) == ()


def test_the_last_directory_is_in_force_after_a_restart(tmp_path: Path) -> None:
    directory = Directory()
    assert directory.dump() is None
    directory.apply(listed(("1", "READY", ["a:1"])))
    data = directory.dump()
    assert data is not None
    write_atomically(tmp_path / SNAPSHOT, data)
    again = Directory()
    again.restore(tmp_path)
    assert again.targets("m", arm("1")) == ("a:1",)
    empty = Directory()
    empty.restore(tmp_path / "nowhere")
    assert empty.targets("m", arm("1")) == ()
