"""Who gets through to MLflow."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from slipway import web
from slipway.errors import InvalidInput, Unavailable
from slipway.mlflow_rest import USER, MlflowRest, mlflow_url
from slipway.stack.mlflow_guard import Guarded
from slipway.stack.readiness import http_ok
from tests.service_process import free_port

PASSWORD = "0123456789abcdef" * 4


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async def inner(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})

    number = free_port()
    async with web.serving(Guarded(inner, password=PASSWORD), host="127.0.0.1", port=number):
        yield number


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


async def test_who_knows_the_password_gets_through_and_nobody_else(port: int) -> None:
    assert await http_ok(port, "/api", authorization=basic(f"{USER}:{PASSWORD}"))
    for shown in ("", basic(f"{USER}:"), basic(f"admin:{PASSWORD}"), f"Bearer {PASSWORD}", PASSWORD):
        assert not await http_ok(port, "/api", authorization=shown)


def test_a_password_comes_from_its_file_and_never_stands_in_the_url(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.password"
    file.write_text(PASSWORD)
    url = mlflow_url("127.0.0.1:1", password_file=file)
    with pytest.raises(Unavailable) as away:
        MlflowRest(url).get("runs/get", {})
    assert "127.0.0.1:1" in str(away.value)
    assert PASSWORD not in f"{away.value}{url}"
    for wrong in (f"http://slipway:{PASSWORD}@127.0.0.1:1", "http://slipway@127.0.0.1:1", f"{url}&more=1"):
        with pytest.raises(InvalidInput, match="in its file alone") as refused:
            MlflowRest(wrong)
        assert PASSWORD not in str(refused.value)
