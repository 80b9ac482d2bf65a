"""Trials are remembered, and a long one does not hold up the rest."""

import asyncio
from pathlib import Path

import pytest

from services.inference import trials
from services.inference.domain.version import Version
from services.inference.settings import Settings
from services.inference.trials import Trials
from slipway.errors import InvalidInput, Unavailable
from slipway.sandbox.trial import Trial

V1 = Version(model="m", version="1", digest="1" * 64)
SETTINGS = Settings(
    kafka_bootstrap="",
    state_dir=Path(),
    secrets_dir=Path(),
    grpc_port=1,
    http_port=2,
    mlflow_url="",
    ray_address="",
    inference_target="",
)


class Sandbox:
    """Answers as told."""

    def __init__(self) -> None:
        self.answers: list[Trial | Exception] = []
        self.tried = 0

    def __call__(self, onnx: bytes, spec_yaml: str, *, limits: object) -> Trial:
        self.tried += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


PASSED = Trial(walls="seccomp", onnx=b"", answer={})


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    it = Sandbox()
    monkeypatch.setattr(trials, "try_model", it)
    return it


async def test_a_version_is_tried_once_for_each_spec(sandbox: Sandbox) -> None:
    it = Trials(SETTINGS)
    sandbox.answers = [PASSED, PASSED]
    for spec_yaml in ("one", "one", "two"):
        await it.pass_or_fail(V1, b"", spec_yaml=spec_yaml)
    assert sandbox.tried == 2


async def test_what_was_refused_is_tried_again_when_asked_again(sandbox: Sandbox) -> None:
    it = Trials(SETTINGS)
    sandbox.answers = [InvalidInput("crashed"), PASSED]
    with pytest.raises(InvalidInput, match="crashed"):
        await it.pass_or_fail(V1, b"", spec_yaml="")
    await it.pass_or_fail(V1, b"", spec_yaml="")


async def test_a_long_trial_is_asked_for_again_instead_of_waited_for(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = Trials(SETTINGS)
    sandbox.answers = [PASSED]
    monkeypatch.setattr(trials, "_PATIENCE_S", 0)
    with pytest.raises(Unavailable, match="is being tried"):
        await it.pass_or_fail(V1, b"", spec_yaml="")
    monkeypatch.setattr(trials, "_PATIENCE_S", 5)
    async with asyncio.timeout(5):
        await it.pass_or_fail(V1, b"", spec_yaml="")
    assert sandbox.tried == 1
