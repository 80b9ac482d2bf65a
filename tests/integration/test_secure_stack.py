"""The running stack gives no secret away, and nothing of it is reached without one."""

import os
import re
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
import requests

from slipway.mlflow_rest import USER
from slipway.ports import ports
from slipway.rpc import operator_metadata
from slipway.stack.certificates import ca_path, certificate_path
from slipway.stack.credentials import MLFLOW_PASSWORD, RAY_TOKEN
from slipway.stack.environment import SERVICES, cli_environment
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
    public, ca = cli_environment()["SLIPWAY_GATEWAY_HTTP_URL"], str(ca_path(find_layout().certificates))
    for name, port in ports().items():
        part = name.removesuffix("_http").removesuffix("_probe")
        if name.endswith(("_http", "_probe")) and part in rows and rows[part].state == "ready":
            url = public if name == "gateway_http" else f"http://127.0.0.1:{port}"
            for path in ("/metrics", "/readyz", "/healthz"):
                answer = requests.get(url + path, timeout=DEADLINE_S, verify=ca)
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


def test_every_port_of_every_part_is_on_loopback(layout: Layout) -> None:
    ours = {process.pid for process in find_ours(layout.home)}
    sockets: list[Any] = psutil.net_connections("tcp")
    listening = [c for c in sockets if c.status == psutil.CONN_LISTEN and c.pid in ours]
    known = {name for name, port in ports().items() if port in {c.laddr.port for c in listening}}
    assert known >= {"gateway_grpc", "gateway_http", "kafka", "postgres", "redis", "mlflow", "ray_gcs"}
    addresses = {ip_address(c.laddr.ip.removeprefix("::ffff:")) for c in listening}
    assert [it for it in addresses if not it.is_loopback] == []


@pytest.mark.parametrize(
    ("port", "method"),
    [
        ("ray_gcs", "NodeInfoGcsService/GetAllNodeInfo"),
        ("ray_gcs", "InternalKVGcsService/InternalKVKeys"),
        ("ray_client", "RayletDriver/ClusterInfo"),
    ],
)
def test_ray_knows_nobody_without_its_token(layout: Layout, port: str, method: str) -> None:
    own = (layout.secrets / RAY_TOKEN).read_text().strip()
    told = {}
    with grpc.insecure_channel(f"127.0.0.1:{ports()[port]}") as channel:
        ask: Any = channel.unary_unary(f"/ray.rpc.{method}")
        for token in ("", "0" * len(own), own):
            try:
                ask(b"", metadata=operator_metadata(token) if token else (), timeout=DEADLINE_S)
            except grpc.RpcError as error:
                told[token] = error.code()
    assert told.pop(own, None) is not grpc.StatusCode.UNAUTHENTICATED
    assert set(told.values()) == {grpc.StatusCode.UNAUTHENTICATED}
    assert len(told) == 2


def test_mlflow_asks_for_its_password(layout: Layout) -> None:
    url = f"http://127.0.0.1:{ports()['mlflow']}"
    for path in ("/", "/health", "/version", "/api/2.0/mlflow/experiments/search", "/graphql"):
        assert requests.get(url + path, timeout=DEADLINE_S).status_code == 401
    known = (USER, (layout.secrets / MLFLOW_PASSWORD).read_text().strip())
    assert requests.get(f"{url}/version", auth=known, timeout=DEADLINE_S).status_code == 200


def test_nobody_gives_rays_agent_a_program_to_run_without_its_token() -> None:
    url = f"http://127.0.0.1:{ports()['ray_agent']}/api/job_agent/jobs/"
    assert requests.post(url, json={"entrypoint": "id"}, timeout=DEADLINE_S).status_code == 401


def said(*command: str) -> tuple[int, str]:
    """What a program of somebody else ends with, and what it prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    return done.returncode, done.stdout.strip()


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
        rest, oip = f"127.0.0.1:{http_port}/v2/health/live", "inference.GRPCInferenceService/ServerLive"
        at = f"127.0.0.1:{grpc_port}"
        assert said("curl", "-sf", "--cacert", ca, f"https://{rest}") == (0, '{"live":true}')
        assert said("curl", "-sf", f"https://{rest}")[0] == 60  # an authority that curl does not know
        assert said("curl", "-sf", f"http://{rest}")[0] != 0
        grpcurl = said(str(REPOSITORY / "scripts" / "install_grpcurl"))[1]
        assert said(grpcurl, "-cacert", ca, at, oip)[0] == 0
        assert said(grpcurl, "-plaintext", at, oip)[0] != 0
        assert service.process is not None
        listening = psutil.Process(service.process.pid).net_connections("tcp")
        outside = {
            c.laddr.port
            for c in listening
            if c.status == psutil.CONN_LISTEN and not c.laddr.ip.endswith("127.0.0.1")
        }
        assert outside == {int(grpc_port), int(http_port)}
