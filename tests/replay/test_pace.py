import pytest

from slipway.errors import InvalidInput
from slipway.replay.pace import Faithful, Steady, parse_pace


def test_reads_both_paces() -> None:
    assert parse_pace("faithful") == Faithful()
    assert parse_pace("500") == Steady(500.0)


@pytest.mark.parametrize("text", ["", "fast", "0", "-5", "nan", "1e9"])
def test_refuses_anything_else(text: str) -> None:
    with pytest.raises(InvalidInput, match="expected `faithful` or rows per second"):
        parse_pace(text)
