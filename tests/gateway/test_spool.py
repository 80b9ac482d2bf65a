import os
from pathlib import Path

import pytest

from services.gateway.domain.framing import MAX_PAYLOAD_BYTES, frame
from services.gateway.spool import Position, Spool
from slipway.envelope import Outgoing
from slipway.errors import InvalidInput, Overloaded


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


def test_a_damaged_segment_is_set_aside_and_the_rest_goes_on(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for n in range(20):
        spool.append([message(n)])
    first = segments(tmp_path)[0]
    data = bytearray(first.read_bytes())
    data[-1] ^= 1
    first.write_bytes(data)
    keys = drain(spool)
    assert keys[-1] == "19"
    assert len(keys) == 19
    assert [p.name for p in (tmp_path / "spool").glob("*.damaged")] == [first.with_suffix(".damaged").name]


def test_a_damaged_current_segment_is_set_aside_too(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([message(1)])
    path = segments(tmp_path)[0]
    path.write_bytes(b"\xff" * path.stat().st_size)
    assert drain(spool) == []
    spool.append([message(2)])
    assert drain(spool) == ["2"]


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


def test_a_disk_that_fails_refuses(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.close()
    with pytest.raises(Overloaded, match="cannot be written"):
        spool.append([message(1)])


def test_positions_are_ordered() -> None:
    assert Position(1, 500) < Position(2, 0) < Position(2, 1)
