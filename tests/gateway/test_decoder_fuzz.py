"""Decoders of a caller's bytes give a call or say InvalidInput, whatever comes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.gateway import rest_wire, wire
from slipway.errors import InvalidInput
from slipway.oip.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from tests.gateway.message_strategies import messages

ROOT = Path(__file__).resolve().parents[2]
FUZZ = ROOT / "load-tests" / "fuzz"
REQUEST: Any = ModelInferRequest.DESCRIPTOR
ANSWER: Any = ModelInferResponse.DESCRIPTOR
MANY = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@MANY
@given(messages(REQUEST))
def test_any_request_that_a_client_can_build_is_read_or_refused(message: ModelInferRequest) -> None:
    try:
        call = wire.read_call(message.SerializeToString())
    except InvalidInput:
        return
    assert call.model == message.model_name


@MANY
@given(messages(ANSWER))
def test_any_answer_that_a_server_can_build_is_read_or_refused(message: ModelInferResponse) -> None:
    try:
        answer = wire.read_answer(message.SerializeToString())
    except InvalidInput:
        return
    assert len(answer) <= len(message.outputs)


@MANY
@given(st.binary(max_size=300), st.none() | st.binary(max_size=12))
def test_any_body_is_read_or_refused(body: bytes, length: bytes | None) -> None:
    try:
        rest_wire.read_call(body, length, model="m", version="")
    except InvalidInput:
        return


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="atheris has no build for it yet")
def test_a_guided_fuzz_of_all_decoders_finds_nothing(tmp_path: Path) -> None:
    # Its own process: libFuzzer ends the one it runs in. Longer by hand: ./load-tests/fuzz/run 600
    command = [sys.executable, str(FUZZ / "decoders.py"), str(tmp_path), str(FUZZ / "seeds")]
    bounds = ["-runs=15000", "-max_total_time=8", "-timeout=10", f"-artifact_prefix={tmp_path}/"]
    ran = subprocess.run(
        [*command, *bounds],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert "Done " in ran.stderr
