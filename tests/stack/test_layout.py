from pathlib import Path

import pytest

from slipway.errors import InvalidInput
from slipway.stack.layout import find_layout, make_directories


def test_home_and_cache_come_from_the_environment(tmp_path: Path) -> None:
    layout = find_layout({"SLIPWAY_HOME": str(tmp_path / "h"), "SLIPWAY_CACHE": str(tmp_path / "c")})
    assert layout.home == tmp_path / "h"
    assert layout.cache == tmp_path / "c"


def test_a_relative_home_is_refused() -> None:
    with pytest.raises(InvalidInput, match="SLIPWAY_HOME='state' is relative"):
        find_layout({"SLIPWAY_HOME": "state"})


def test_secrets_are_private(tmp_path: Path) -> None:
    layout = find_layout({"SLIPWAY_HOME": str(tmp_path / "h")})
    make_directories(layout)
    assert layout.secrets.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("home", ["/var/lib/slipway", "/home/" + "x" * 80])
def test_ray_s_longest_socket_path_fits(home: str) -> None:
    sockets = find_layout({"SLIPWAY_HOME": home}).sockets
    longest = sockets / "ray" / "session_2026-11-22_07-19-54_608647_4194304" / "sockets" / "plasma_store"
    assert len(str(longest)) <= 107
