from pathlib import Path

import pytest

from slipway.errors import InvalidInput
from slipway.ports import ports


def test_reads_the_table_of_the_repository() -> None:
    assert ports({})["gateway_grpc"] == 8001


def test_no_two_parts_share_a_port() -> None:
    table = ports({})
    assert len(set(table.values())) == len(table)


def test_one_port_is_overridden_by_its_variable() -> None:
    assert ports({"SLIPWAY_PORT_GATEWAY_HTTP": "8100"})["gateway_http"] == 8100


def test_an_offset_moves_every_port() -> None:
    before, after = ports({}), ports({"SLIPWAY_PORT_OFFSET": "10000"})
    assert all(after[name] == port + 10_000 for name, port in before.items())


def test_an_explicit_port_is_not_moved_by_the_offset() -> None:
    table = ports({"SLIPWAY_PORT_OFFSET": "10000", "SLIPWAY_PORT_KAFKA": "9092"})
    assert table["kafka"] == 9092


def test_a_file_overrides_the_table(tmp_path: Path) -> None:
    file = tmp_path / "ports.toml"
    file.write_text("kafka = 9092\n")
    assert ports({"SLIPWAY_PORTS_FILE": str(file)})["kafka"] == 9092


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"SLIPWAY_PORT_GATEWAY": "8100"}, "unknown ports \\['gateway'\\]"),
        ({"SLIPWAY_PORT_KAFKA": "many"}, "SLIPWAY_PORT_KAFKA='many' is not a port number"),
        ({"SLIPWAY_PORT_KAFKA": "80"}, "kafka=80 is outside"),
        ({"SLIPWAY_PORTS_FILE": "/nowhere/ports.toml"}, "cannot read the port table /nowhere"),
    ],
)
def test_refuses_what_would_be_inert(environ: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        ports(environ)
