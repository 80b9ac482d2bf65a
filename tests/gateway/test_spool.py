import errno
import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.gateway.domain.framing import MAX_PAYLOAD_BYTES, frame
from services.gateway.milestone import Position
from services.gateway.spool import Spool
from slipway.clock import ManualClock
from slipway.envelope import Outgoing
from slipway.errors import InvalidInput, Overloaded, Unavailable
from tests.small_disk import small_disk


def message(n: int, size: int = 50) -> Outgoing:
    return Outgoing(
        topic="predictions", key=str(n), value=bytes([n % 256, 10]) * size, headers=(("a", b"b"),)
    )


def opened(folder: Path, *, limit: int = 10_000, segment: int = 1_000) -> Spool:
    return Spool(folder / "spool", limit_bytes=limit, segment_bytes=segment)


def drain(spool: Spool) -> list[str]:
    keys: list[str] = []
    while True:
        messages, position = spool.read()
        if not messages:
            return keys
        keys += [m.key for m in messages]
        spool.advance(position)


def segments(folder: Path) -> list[Path]:
    return sorted((folder / "spool").glob("*.segment"))


def test_reads_what_was_appended_in_order(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([message(1)])
    assert spool.read()[0] == [message(1)]
    spool.append([message(2), message(3)])
    assert drain(spool) == ["1", "2", "3"]
    assert spool.backlog_bytes == 0


def test_survives_a_process_that_is_killed(tmp_path: Path) -> None:
    opened(tmp_path).append([message(1)])
    again = opened(tmp_path)
    again.append([message(2)])
    assert drain(again) == ["1", "2"]


def test_a_torn_tail_is_cut_off_and_nothing_else(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([message(1)])
    path = segments(tmp_path)[-1]
    whole = path.stat().st_size
    path.write_bytes(path.read_bytes() + frame(b"never acknowledged")[:-3])
    assert drain(opened(tmp_path)) == ["1"]
    assert path.exists() is False or path.stat().st_size == whole


def test_shipped_segments_are_deleted(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for n in range(40):
        spool.append([message(n)])
    assert len(segments(tmp_path)) > 3
    assert drain(spool) == [str(n) for n in range(40)]
    assert len(segments(tmp_path)) == 1


def test_goes_on_at_the_saved_position(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([message(1)])
    drain(spool)
    spool.save_position()
    spool.append([message(2)])
    assert drain(opened(tmp_path)) == ["2"]


def test_without_a_position_everything_goes_again(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([message(1)])
    drain(spool)
    (tmp_path / "spool" / "position.json").write_text("not json")
    assert drain(opened(tmp_path)) == ["1"]


def test_a_position_in_a_deleted_segment_means_the_next_one(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([message(1)])
    spool.save_position()
    segments(tmp_path)[0].unlink()
    again = opened(tmp_path)
    again.append([message(2)])
    assert drain(again) == ["2"]


def test_is_full_at_its_limit_and_free_again_when_shipped(tmp_path: Path) -> None:
    spool = opened(tmp_path, limit=3_000)
    while not spool.is_full:
        spool.append([message(1)])
    assert sum(path.stat().st_size for path in segments(tmp_path)) >= 3_000
    drain(spool)
    assert not spool.is_full


def spoil(path: Path, *, at: int) -> None:
    """Flip a bit, as a disk does."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("at", [0, 4, 30, 120])
def test_a_flipped_bit_costs_its_record_and_no_other(tmp_path: Path, at: int) -> None:
    """In the length, the checksum, the headers or the value."""
    spool = opened(tmp_path)
    places = []
    for n in range(20):
        places.append(spool.end)
        spool.append([message(n)])
    spoiled = places[3]
    assert spoiled.segment == places[0].segment
    spoil(segments(tmp_path)[0], at=spoiled.offset + at)
    assert drain(spool) == [str(n) for n in range(20) if n != 3]
    [kept] = (tmp_path / "spool").glob("*.damaged")
    assert kept.stat().st_size == places[4].offset - spoiled.offset


def test_a_flipped_bit_before_a_torn_tail_costs_its_record_and_no_other(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    places = []
    for n in range(4):
        places.append(spool.end)
        spool.append([message(n)])
    path = segments(tmp_path)[0]
    path.write_bytes(path.read_bytes() + frame(b'["never acknowledged')[:-3])
    spoil(path, at=places[1].offset + 60)
    assert drain(opened(tmp_path)) == ["0", "2", "3"]


def test_what_is_kept_of_spoiled_records_is_bounded(tmp_path: Path) -> None:
    spool = opened(tmp_path, limit=1_000_000, segment=400)
    for n in range(200):
        spool.append([message(n)])
    for path in segments(tmp_path):
        if path.stat().st_size:
            spoil(path, at=20)
    drain(spool)
    assert len(list((tmp_path / "spool").glob("*.damaged"))) == 64


def test_zeros_that_a_power_cut_left_are_no_record(tmp_path: Path) -> None:
    opened(tmp_path).append([message(1)])
    path = segments(tmp_path)[-1]
    path.write_bytes(path.read_bytes() + bytes(4096))
    assert drain(opened(tmp_path)) == ["1"]


def test_a_damaged_current_segment_is_left(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([message(1)])
    path = segments(tmp_path)[0]
    path.write_bytes(b"\xff" * path.stat().st_size)
    assert drain(spool) == []
    spool.append([message(2)])
    assert drain(spool) == ["2"]
    assert spool.backlog_bytes == 0


def test_a_message_larger_than_a_read_comes_whole(tmp_path: Path) -> None:
    spool = opened(tmp_path, limit=100_000_000, segment=50_000_000)
    spool.append([message(1, size=1_000_000)])
    spool.append([message(2)])
    assert drain(spool) == ["1", "2"]


def test_refuses_what_kafka_would_not_take(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    with pytest.raises(InvalidInput, match="send fewer rows"):
        spool.append([message(1, size=MAX_PAYLOAD_BYTES // 2 + 1)])
    assert spool.read()[0] == []


def test_a_full_disk_refuses_and_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = opened(tmp_path)
    spool.append([message(1)])
    real = os.write
    monkeypatch.setattr("services.gateway.spool.os.write", lambda fd, data: real(fd, data[:10]))
    with pytest.raises(Overloaded, match="the disk took 10 of"):
        spool.append([message(2)])
    monkeypatch.undo()
    spool.append([message(3)])
    assert drain(spool) == ["1", "3"]


def test_a_torn_record_that_cannot_be_taken_back_is_the_last_of_its_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    spool = Spool(tmp_path / "spool", limit_bytes=10_000, segment_bytes=1_000, monotonic_s=clock.monotonic_s)
    spool.append([message(1)])
    real = os.write

    def fail(_fd: int, _size: int) -> None:
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr("services.gateway.spool.os.write", lambda fd, data: real(fd, data[:10]))
    monkeypatch.setattr("services.gateway.spool.os.ftruncate", fail)
    with pytest.raises(Overloaded):
        spool.append([message(2)])
    monkeypatch.undo()
    spool.append([message(3)])
    assert drain(spool) == ["1", "3"]
    spool.append([message(4)])
    assert drain(opened(tmp_path))[-1] == "4"


def test_while_the_disk_fails_only_a_trial_now_and_then_is_let_in(tmp_path: Path) -> None:
    clock = ManualClock()
    spool = Spool(tmp_path / "spool", limit_bytes=10_000, segment_bytes=1_000, monotonic_s=clock.monotonic_s)
    spool.append([message(1)])
    spool.close()
    shutil.rmtree(tmp_path / "spool")  # a disk that takes neither bytes nor files
    with pytest.raises(Overloaded, match="cannot be written") as refusal:
        spool.append([message(2)])
    assert refusal.value.retry_after_s is not None
    assert spool.is_full
    clock.advance(1)
    assert not spool.is_full
    with pytest.raises(Overloaded):
        spool.append([message(3)])
    assert spool.is_full
    with pytest.raises(Unavailable, match="cannot be read"):
        spool.read()
    (tmp_path / "spool").mkdir()
    clock.advance(1)
    spool.append([message(4)])
    assert not spool.is_full
    assert not spool.is_blocked


def test_a_segment_is_left_even_where_no_new_one_can_be_made(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([message(1)])
    before = spool.end
    aside = tmp_path / "aside"
    (tmp_path / "spool").rename(aside)
    spool.leave_segment()
    aside.rename(tmp_path / "spool")
    spool.append([message(2)])
    assert spool.end.segment == before.segment + 1
    assert drain(spool) == ["1", "2"]


def test_a_file_that_may_not_grow_is_followed_by_another(tmp_path: Path) -> None:
    clock = ManualClock()
    spool = Spool(
        tmp_path / "spool", limit_bytes=100_000, segment_bytes=50_000, monotonic_s=clock.monotonic_s
    )
    taken: list[str] = []
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, before[1]))
    try:
        for n in range(60):
            try:
                spool.append([message(n)])
            except Overloaded:
                clock.advance(1)
            else:
                taken.append(str(n))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert 40 < len(taken) < 60
    assert all(path.stat().st_size <= 2_000 for path in segments(tmp_path))
    assert drain(spool) == taken


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", size="1m") as folder:
        yield folder


def test_a_full_file_system_refuses_and_recovers_by_itself(disk: Path) -> None:
    clock = ManualClock()
    spool = Spool(
        disk / "spool",
        limit_bytes=100_000_000,
        segment_bytes=200_000,
        monotonic_s=clock.monotonic_s,
    )
    taken: list[str] = []

    def fill() -> None:
        for n in range(len(taken), 10_000):
            try:
                spool.append([message(n, size=3_333)])
            except Overloaded:
                return
            taken.append(str(n))
        pytest.fail("the file system never filled")

    fill()
    assert len(taken) > 50
    assert spool.is_full
    shipped, position = spool.read()
    keys = [m.key for m in shipped]
    spool.advance(position)
    shipped, position = spool.read()  # the next segment: the first one is deleted, and there is room
    clock.advance(1)
    assert not spool.is_full
    before = len(taken)
    fill()
    assert len(taken) > before
    again = Spool(disk / "spool", limit_bytes=100_000_000, segment_bytes=200_000)
    assert sorted(set(keys + drain(again)), key=int) == taken


def test_positions_are_ordered() -> None:
    assert Position(1, 500) < Position(2, 0) < Position(2, 1)


def test_tells_how_much_of_its_room_is_used(tmp_path: Path) -> None:
    spool = opened(tmp_path, limit=10_000)
    assert spool.used_share == 0
    spool.append([message(1, size=1000)])
    assert 0.2 < spool.used_share < 0.25
