import os
from pathlib import Path

import pytest

from services.gateway import worker
from services.gateway.worker import LOCK, sole_user, until_fresh
from slipway.errors import Conflict
from slipway.process import Process


async def test_a_state_directory_has_one_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_LOCK_WAIT_S", 0.2)
    folder = tmp_path / "state"
    async with sole_user(folder):
        with pytest.raises(Conflict, match=r"give each its own SLIPWAY_STATE_DIR"):
            async with sole_user(folder):
                pass
    async with sole_user(folder):
        pass


async def test_a_new_user_renews_the_lock_s_time(tmp_path: Path) -> None:
    async with sole_user(tmp_path):
        pass
    os.utime(tmp_path / LOCK, ns=(5, 5))
    async with sole_user(tmp_path):
        assert (tmp_path / LOCK).stat().st_mtime_ns != 5


async def test_a_gateway_joins_when_all_is_there_and_new(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process("gateway")
    looks: list[str] = []

    def is_known() -> bool:
        looks.append("known")
        return len(looks) > 1

    def is_fresh() -> bool:
        looks.append("fresh")
        return len(looks) > 4

    process.ready_when("routes", is_known)
    await until_fresh(process, is_fresh)
    assert looks == ["known", "known", "fresh", "fresh", "fresh"]


async def test_what_cannot_be_had_anew_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_FRESH_S", 0.1)
    await until_fresh(Process("gateway"), lambda: False)
