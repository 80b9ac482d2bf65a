"""Integration tests find the running stack by its own tables; variables that are set already win."""

import os
from collections.abc import Iterator

import pytest

from slipway.stack.environment import cli_environment, service_environment


@pytest.fixture(scope="session", autouse=True)
def stack_variables() -> Iterator[None]:
    """Where everything answers, and what a process that talks to this Ray must have."""
    ray = {
        k: v for k, v in service_environment("inference").items() if k.startswith(("RAY_", "SLIPWAY_RAY_"))
    }
    before = dict(os.environ)
    for variable, value in {**cli_environment(), **ray}.items():
        os.environ.setdefault(variable, value)
    yield
    os.environ.clear()
    os.environ.update(before)
