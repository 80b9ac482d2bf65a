from pathlib import Path

import pytest

from slipway.errors import InvalidInput
from slipway.ports import ports
from slipway.stack.credentials import SHARED, make_secrets, password_file
from slipway.stack.gateway_parts import STANDBY, WORKERS_VARIABLE, gateway_parts, worker_names
from slipway.stack.layout import find_layout
from slipway.stack.part import Part
from slipway.stack.role_provision import ROLES


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "secrets").mkdir()
    make_secrets(tmp_path / "secrets", names=[*SHARED, *(password_file(role) for role in ROLES)])
    return {"SLIPWAY_HOME": str(tmp_path), WORKERS_VARIABLE: "2"}


def parts_of(environ: dict[str, str]) -> tuple[Part, ...]:
    return gateway_parts(find_layout(environ), ports=ports(environ), environ=environ)


def test_one_worker_unless_told_otherwise() -> None:
    assert worker_names({}) == ("gateway",)
    assert worker_names({WORKERS_VARIABLE: "3"}) == ("gateway", "gateway_2", "gateway_3")


@pytest.mark.parametrize("text", ["0", "5", "-1", "many", ""])
def test_a_number_of_workers_without_ports_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"SLIPWAY_GATEWAY_WORKERS='.*' is not a number within 1\.\.4"):
        worker_names({WORKERS_VARIABLE: text})


def test_workers_share_the_public_ports_and_nothing_else(environ: dict[str, str]) -> None:
    first, second, standby = parts_of(environ)
    shared = set(first.ports.items()) & set(second.ports.items()) & set(standby.ports.items())
    assert dict(shared) == {"gateway_grpc": 8001, "gateway_http": 8000, "gateway_admin": 8002}
    own = {part.environment["SLIPWAY_PROBE_PORT"] for part in (first, second, standby)}
    assert own == {"8003", "8004", "8007"}
    assert len({part.environment["SLIPWAY_STATE_DIR"] for part in (first, second, standby)}) == 3


def test_any_worker_finds_what_the_others_left(environ: dict[str, str]) -> None:
    for part in parts_of(environ):
        folder = Path(part.environment["SLIPWAY_STATE_DIR"]).parent
        assert Path(part.environment["SLIPWAY_ADOPT_FROM"]) == folder


def test_only_the_stand_in_waits_to_be_called(environ: dict[str, str]) -> None:
    assert [part.name for part in parts_of(environ) if part.on_demand] == [STANDBY]
    assert {part.worker_of for part in parts_of(environ)} == {"gateway"}


def test_the_supervisor_waits_for_a_drain_to_end(environ: dict[str, str]) -> None:
    environ |= {"SLIPWAY_CONNECTION_AGE_S": "50", "SLIPWAY_DRAIN_S": "60.5"}
    first, *_ = parts_of(environ)
    assert first.environment["SLIPWAY_CONNECTION_AGE_S"] == "50"
    assert first.stop_wait_s > 60.5 + 10


@pytest.mark.parametrize("text", ["soon", "inf", "nan"])
def test_a_drain_without_end_is_refused(environ: dict[str, str], text: str) -> None:
    with pytest.raises(InvalidInput, match=f"SLIPWAY_DRAIN_S='{text}'"):
        parts_of({**environ, "SLIPWAY_DRAIN_S": text})
