"""What is left where; that it reaches Kafka is seen in tests/integration/test_gateway_workers.py."""

import asyncio
from pathlib import Path

import pytest

from services.gateway import adoption
from services.gateway.adoption import Adoption
from services.gateway.gaps import FILE as GAPS_FILE
from services.gateway.gaps import Gaps
from services.gateway.spool import Spool
from services.gateway.worker import LOCK, sole_user
from slipway.clock import SystemClock
from slipway.envelope import Outgoing
from slipway.errors import Unavailable
from slipway.v1.predictions_pb2 import PredictionsUnrecorded
from tests.gateway.test_settings import settings


class Seen(Adoption):
    """Notes what would be shipped."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            settings(state_dir=folder / "own", adopt_from=str(folder)),
            predictions="segments",
            others=("jobs",),
        )
        self.shipped: list[Path] = []
        self.left_bytes = 0
        self.failure: Exception | None = None

    async def _ship(self, folder: Path, stop: asyncio.Event) -> int:
        self.shipped.append(folder)
        if self.failure is not None:
            raise self.failure
        return self.left_bytes

    async def look(self) -> list[Path]:
        """One look at each directory."""
        self.shipped = []
        stop = asyncio.Event()
        looking = asyncio.ensure_future(self.run(stop))
        await asyncio.sleep(0)
        stop.set()
        await looking
        return self.shipped


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Seen:
    monkeypatch.setattr(adoption, "_LEFT_S", 0.0)
    for name in ("own", "gone"):
        (tmp_path / name / "segments").mkdir(parents=True)
        (tmp_path / name / LOCK).touch()
    (tmp_path / "rollout").mkdir()  # another service's: no lock of a gateway
    return Seen(tmp_path)


async def test_a_left_directory_is_shipped_until_it_is_empty(seen: Seen, tmp_path: Path) -> None:
    seen.left_bytes = 7
    assert await seen.look() == [tmp_path / "gone" / "segments"]
    seen.left_bytes = 0
    assert await seen.look() == [tmp_path / "gone" / "segments"]
    assert await seen.look() == []


async def test_a_directory_in_use_is_left_alone_and_looked_at_again_afterwards(
    seen: Seen, tmp_path: Path
) -> None:
    assert await seen.look() != []
    async with sole_user(tmp_path / "gone"):
        assert await seen.look() == []
    assert await seen.look() == [tmp_path / "gone" / "segments"]


async def test_an_owner_that_restarts_is_not_disturbed(
    seen: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adoption, "_LEFT_S", 60.0)
    assert await seen.look() == []
    async with sole_user(tmp_path / "gone"):
        pass


@pytest.mark.parametrize("failure", [PermissionError("no"), ValueError("damaged"), Unavailable("away")])
async def test_a_directory_that_cannot_be_read_is_left_for_later(seen: Seen, failure: Exception) -> None:
    seen.failure = failure
    assert len(await seen.look()) == 1
    assert await seen.look() == []


async def test_what_cannot_be_shipped_stays_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adoption, "_SESSION_S", 0.3)
    folder = tmp_path / "gone" / "segments"
    spool = Spool(folder, limit_bytes=2**20, segment_bytes=2**16)
    spool.append([Outgoing(topic="predictions", key="k", value=b"v", headers=())])
    backlog = spool.backlog_bytes
    spool.close()
    nowhere = Adoption(
        settings(adopt_from=str(tmp_path), kafka_bootstrap="127.0.0.1:1"), predictions="segments", others=()
    )
    assert await nowhere._ship(folder, asyncio.Event()) == backlog
    again = Spool(folder, limit_bytes=2**20, segment_bytes=2**16)
    assert len(again.read()[0]) == 1
    again.close()


async def test_what_was_answered_without_a_record_is_told_for_the_one_who_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adoption, "_SESSION_S", 0.3)
    folder = tmp_path / "gone" / "segments"
    spool = Spool(folder, limit_bytes=2**20, segment_bytes=2**16)
    left = Gaps(folder.parent / GAPS_FILE, spool, clock=SystemClock())
    left.add("acme", "forest", kind="answered")
    await left._save()
    spool.close()
    told = settings(adopt_from=str(tmp_path), kafka_bootstrap="127.0.0.1:1")
    await Adoption(told, predictions="segments", others=())._ship(folder, asyncio.Event())
    again = Spool(folder, limit_bytes=2**20, segment_bytes=2**16)
    (message,) = again.read()[0]
    again.close()
    assert PredictionsUnrecorded.FromString(message.value).answered == 1
    assert Gaps(folder.parent / GAPS_FILE, spool, clock=SystemClock()).open == ()
