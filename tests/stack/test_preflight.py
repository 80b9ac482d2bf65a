from pathlib import Path

import pytest

from slipway.errors import Conflict, NotFound
from slipway.stack.part import Requirement
from slipway.stack.preflight import check_ports, check_requirements
from tests.stack.parts import idle_part


def test_a_taken_port_names_the_part_the_holder_and_the_way_out() -> None:
    with pytest.raises(Conflict) as caught:
        check_ports(
            [idle_part("gateway", ports={"gateway_grpc": 8001, "gateway_http": 8000})],
            find_holders=lambda ports: {8000: frozenset({77})},
            name_process=lambda pid: f"nginx (pid {pid})",
        )
    assert str(caught.value) == (
        "gateway wants port 8000 (gateway_http), held by nginx (pid 77); "
        "end it or choose another with SLIPWAY_PORT_GATEWAY_HTTP"
    )


def test_free_ports_pass() -> None:
    check_ports([idle_part("gateway")], find_holders=lambda ports: {})


def test_a_stranger_on_a_shared_port_is_named_and_fellows_are_not() -> None:
    with pytest.raises(Conflict, match="held by process 78;") as caught:
        check_ports(
            [idle_part("gateway_2", ports={"gateway_http": 8000})],
            at_home={8000: {77}},
            find_holders=lambda ports: {8000: frozenset({77, 78})},
            name_process=lambda pid: f"process {pid}",
        )
    assert "77" not in str(caught.value)


def test_a_missing_program_names_the_package_and_the_script() -> None:
    missing = Requirement(path=Path("/nowhere/java"), package="openjdk-17-jre-headless")
    with pytest.raises(NotFound) as caught:
        check_requirements([idle_part("kafka", requirements=(missing,))])
    assert str(caught.value) == (
        "kafka needs /nowhere/java (package openjdk-17-jre-headless). "
        "`./scripts/setup` installs what is missing"
    )


def test_programs_that_are_there_pass() -> None:
    here = Requirement(path=Path("/bin/sh"), package="dash")
    check_requirements([idle_part("kafka", requirements=(here,))])
