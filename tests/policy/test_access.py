"""The policies of a service: what operators edit is in force, or the last good, or nothing starts."""

import asyncio
import logging
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from slipway.errors import InvalidInput
from slipway.identity.caller import Caller
from slipway.policy.access import builtin_policies, open_policies
from slipway.policy.resource import Resource
from slipway.process import Process
from slipway.settings import ServiceSettings

ANNA = Caller(principal="anna", tenant="shop", roles=("analyst",), method="api_key")
MODEL = Resource(tenant="shop", model="m")
GOOD = 'permit (principal in Role::"analyst", action == Action::"infer", resource);'


def settings(folder: Path) -> ServiceSettings:
    return ServiceSettings(
        kafka_bootstrap="",
        state_dir=folder,
        secrets_dir=folder,
        grpc_port=0,
        http_port=0,
        access_dir=str(folder),
    )


def not_in_force() -> float | None:
    return REGISTRY.get_sample_value("slipway_policy_files_not_in_force")


def put(file: Path, text: str) -> None:
    file.write_text(text)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "policies").mkdir()
    return tmp_path / "policies" / "own.cedar"


async def test_a_file_is_in_force_by_itself_and_a_broken_one_leaves_the_last_good(
    own: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipway.watched_files._LOOK_S", 0.01)
    process = Process("test")
    policies = open_policies(process, settings(own.parents[1]))
    assert (policies.allows(ANNA, "infer", MODEL), not_in_force()) == (False, 0.0)
    put(own, GOOD)
    async with asyncio.timeout(30):
        while not policies.allows(ANNA, "infer", MODEL):
            await asyncio.sleep(0.01)
    good = policies.policy_hash
    with caplog.at_level(logging.ERROR):
        put(own, "forbid (principal, action, resource")
        async with asyncio.timeout(30):
            while not_in_force() != 1.0:
                await asyncio.sleep(0.01)
    assert "own.cedar line 1" in caplog.text
    assert policies.allows(ANNA, "infer", MODEL)
    assert policies.policy_hash == good != builtin_policies().policy_hash
    await process._stack.aclose()


async def test_with_a_broken_file_nothing_starts(own: Path) -> None:
    put(own, 'permit (principal, action == Action::"fly", resource);')
    with pytest.raises(InvalidInput, match=r"own\.cedar line 1: unrecognized action"):
        open_policies(Process("test"), settings(own.parents[1]))
