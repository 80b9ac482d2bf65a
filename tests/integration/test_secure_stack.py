"""The running stack gives no secret away, and nothing of it is reached without one."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest
import requests

from slipway.oip.open_inference_pb2 import ServerLiveRequest
from slipway.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from slipway.ports import ports
from slipway.stack.certificates import ca_path, certificate_path
from slipway.stack.environment import SERVICES
from slipway.stack.layout import REPOSITORY, Layout, find_layout
from slipway.stack.processes import find_ours
from slipway.stack.stack import build_stack
from slipway.stack.stack_status import stack_status
from slipway.stack.supervision import Supervision
from tests.service_process import free_port, own_database, own_service

pytestmark = [pytest.mark.integration, pytest.mark.alone]

DEADLINE_S = 120  # a busy machine is slow, not broken


@pytest.fixture(scope="module")
def layout() -> Layout:
    stack = build_stack()
    if not Supervision(stack).is_running():
        pytest.fail("the stack is not running: start it with `slipway up`")
    return stack.layout


@pytest.fixture(scope="module")
def secrets(layout: Layout) -> dict[bytes, str]:
    texts = {path.read_bytes().strip(): path.name for path in layout.secrets.iterdir()}
    keys = layout.certificates.glob("*.pem")
    return texts | {body: path.name for path in keys for body in private_key_lines(path)}


def private_key_lines(path: Path) -> list[bytes]:
    found = re.search(rb"BEGIN PRIVATE KEY-----\n(.*?)-----END", path.read_bytes(), re.DOTALL)
    return found[1].split() if found else []


def given_away(secrets: dict[bytes, str], text: bytes) -> set[str]:
    return {name for secret, name in secrets.items() if secret in text}


def test_no_log_holds_a_secret(layout: Layout, secrets: dict[bytes, str]) -> None:
    logs = [path for path in (*layout.logs.rglob("*"), *layout.sockets.rglob("*.log")) if path.is_file()]
    assert len(secrets) > 20
    assert len(logs) > len(SERVICES)
    assert {path.name: found for path in logs if (found := given_away(secrets, path.read_bytes()))} == {}


def test_no_metric_and_no_answer_for_people_holds_a_secret(secrets: dict[bytes, str]) -> None:
    told = dict(answers_for_people())
    assert len(told) > len(SERVICES)
    assert {name: found for name, text in told.items() if (found := given_away(secrets, text))} == {}


def answers_for_people() -> Iterator[tuple[str, bytes]]:
    rows = {row.name: row for row in stack_status(build_stack())}
    for name, port in ports().items():
        part = name.removesuffix("_http").removesuffix("_probe")
        if name.endswith(("_http", "_probe")) and part in rows and rows[part].state == "ready":
            for path in ("/metrics", "/readyz", "/healthz"):
                answer = requests.get(f"http://127.0.0.1:{port}{path}", timeout=DEADLINE_S)
                yield f"{name}{path}", answer.content
    for command in (("status",), ("status", "--json"), ("init",)):
        done = subprocess.run(
            [str(REPOSITORY / ".venv" / "bin" / "slipway"), *command],
            env=dict(os.environ),
            capture_output=True,
            timeout=DEADLINE_S,
        )
        assert done.returncode == 0, done.stderr
        yield " ".join(command), done.stdout + done.stderr


def test_no_process_title_holds_a_secret(layout: Layout, secrets: dict[bytes, str]) -> None:
    titles = {}
    for process in find_ours(layout.home):
        try:
            titles[process.pid] = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        except (OSError, psutil.Error):
            continue  # it ended meanwhile
    assert len(titles) > 5
    assert {title: found for title in titles.values() if (found := given_away(secrets, title))} == {}


def test_what_holds_a_secret_is_readable_by_its_owner_alone(
    layout: Layout, secrets: dict[bytes, str]
) -> None:
    files = [path for path in (*layout.config.iterdir(), *layout.certificates.iterdir()) if path.is_file()]
    holding = [path for path in files if given_away(secrets, path.read_bytes())]
    assert {path.name for path in holding} >= {"kafka.properties", "redis.conf", "supervisord.conf"}
    assert [path for path in holding if path.stat().st_mode & 0o077] == []
    assert find_layout().secrets.stat().st_mode & 0o077 == 0


def test_a_gateway_with_a_certificate_speaks_tls_alone(layout: Layout, tmp_path: Path) -> None:
    ca, admin, probe = str(ca_path(layout.certificates)), free_port(), free_port()
    with (
        own_database("gateway") as dsn,
        own_service(
            "gateway",
            tmp_path / "gateway",
            SLIPWAY_POSTGRES_DSN=dsn,
            SLIPWAY_ADMIN_PORT=str(admin),
            SLIPWAY_PROBE_PORT=str(probe),
            SLIPWAY_TLS_CERT=str(certificate_path(layout.certificates, "gateway")),
            SLIPWAY_HOST="0.0.0.0",
        ) as service,
    ):
        service.start()
        service.wait_ready()
        grpc_port, http_port = (service.environment[f"SLIPWAY_{kind}_PORT"] for kind in ("GRPC", "HTTP"))
        alive = requests.get(f"https://127.0.0.1:{http_port}/v2/health/live", verify=ca, timeout=DEADLINE_S)
        assert alive.status_code == 200
        with pytest.raises(requests.RequestException):
            requests.get(f"http://127.0.0.1:{http_port}/v2/health/live", timeout=DEADLINE_S)
        trusted = grpc.ssl_channel_credentials(Path(ca).read_bytes())
        with grpc.secure_channel(f"127.0.0.1:{grpc_port}", trusted) as channel:
            assert GRPCInferenceServiceStub(channel).ServerLive(ServerLiveRequest(), timeout=DEADLINE_S).live
        assert service.process is not None
        listening = psutil.Process(service.process.pid).net_connections("tcp")
        outside = {
            c.laddr.port
            for c in listening
            if c.status == psutil.CONN_LISTEN and not c.laddr.ip.endswith("127.0.0.1")
        }
        assert outside == {int(grpc_port), int(http_port)}
