import asyncio
from pathlib import Path

import pytest

from services.gateway.snapshots import read_messages, write_messages
from slipway.changes import Changes, until
from slipway.snapshots import Snapshot


async def test_a_change_before_the_wait_is_not_lost() -> None:
    changes = Changes()
    before = changes.revision
    changes.notify()
    assert await changes.wait_beyond(before, timeout_s=60) == 1


async def test_a_wait_ends_with_the_change_or_with_the_time() -> None:
    changes = Changes()
    waiting = asyncio.ensure_future(changes.wait_beyond(0, timeout_s=60))
    await asyncio.sleep(0)
    changes.notify()
    assert await waiting == 1
    assert await changes.wait_beyond(1, timeout_s=0) == 1


async def test_work_ends_by_itself_or_is_ended() -> None:
    stop = asyncio.Event()

    async def fails() -> None:
        raise ValueError("seen")

    with pytest.raises(ValueError, match="seen"):
        await until(stop, fails)
    stop.set()
    await until(stop, asyncio.Event().wait)  # type: ignore[arg-type]


async def test_a_snapshot_follows_and_is_written_once_more_at_the_end(tmp_path: Path) -> None:
    changes, values = Changes(), [b"first"]
    snapshot = Snapshot(path=tmp_path / "s", changes=changes, dump=lambda: values[-1])
    stop = asyncio.Event()
    keeping = asyncio.ensure_future(snapshot.keep(stop))
    async with asyncio.timeout(20):
        while not snapshot.path.exists():
            await asyncio.sleep(0)
    values.append(b"last")
    stop.set()
    changes.notify()
    await keeping
    assert snapshot.path.read_bytes() == b"last"


def test_messages_come_back_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "m"
    assert read_messages(path) is None
    write_messages(path, [b"a", b"c", b"b"])
    assert read_messages(path) == (b"a", b"c", b"b")
    path.write_bytes(path.read_bytes() + b"torn")
    assert read_messages(path) is None
