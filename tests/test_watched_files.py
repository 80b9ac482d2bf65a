"""Files that people edit: what is in force, and what is not."""

from pathlib import Path

import pytest

from slipway.errors import InvalidInput
from slipway.watched_files import Files, WatchedFiles, digest_of


def names(files: Files) -> list[str]:
    if b"bad" in files.values():
        raise InvalidInput("bad is no good")
    return list(files)


def watched(folder: Path) -> WatchedFiles[list[str]]:
    return WatchedFiles(folder, ("*.txt", "sub/*.txt"), parse=names)


def test_a_folder_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    assert watched(tmp_path / "none").current == []


def test_a_change_is_in_force_after_the_next_look(tmp_path: Path) -> None:
    it = watched(tmp_path)
    before = it.digest
    assert not it.look()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_bytes(b"good")
    (tmp_path / "other.md").write_bytes(b"bad")
    assert it.look()
    assert it.current == ["sub/a.txt"]
    assert it.digest != before


def test_the_last_good_files_stay_until_the_bad_ones_are_mended(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"good")
    it = watched(tmp_path)
    before = it.digest
    (tmp_path / "b.txt").write_bytes(b"bad")
    assert not it.look()
    assert (it.current, it.digest, it.problem) == (["a.txt"], before, "bad is no good")
    (tmp_path / "b.txt").write_bytes(b"better")
    assert it.look()
    assert (it.current, it.problem) == (["a.txt", "b.txt"], "")


def test_bad_files_at_the_start_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"bad")
    with pytest.raises(InvalidInput, match="no good"):
        watched(tmp_path)


def test_more_than_the_bound_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x" * (4 * 1024 * 1024 + 1))
    with pytest.raises(InvalidInput, match="bytes together"):
        watched(tmp_path)


def test_the_digest_tells_where_a_name_ends_and_its_bytes_begin() -> None:
    assert digest_of({"a": b"bc"}) != digest_of({"ab": b"c"})
