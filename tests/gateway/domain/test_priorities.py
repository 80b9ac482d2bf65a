import pytest

from services.gateway.domain import priorities
from slipway.errors import InvalidInput


def test_levels_are_those_of_the_protocol() -> None:
    assert [priorities.level_of(priority) for priority in (0, 1, 2, 3)] == [2, 1, 2, 3]
    for priority in (-1, 4, 2**63):
        with pytest.raises(InvalidInput, match=f"priority is {priority}"):
            priorities.level_of(priority)


def test_lower_levels_have_less_room_and_count_as_later() -> None:
    rooms = [priorities.room(level) for level in priorities.LEVELS]
    assert rooms == sorted(rooms, reverse=True)
    assert rooms[0] == 1.0
    assert [priorities.handicap_s(level, 2.0) for level in priorities.LEVELS] == [0.0, 0.5, 1.0]
