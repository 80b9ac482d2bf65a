"""What the request parameter `priority` means: 1 goes first, 2 is the default, 3 waits.

Two rules, and neither starves anybody:

- *Refused first.* Level 1 may fill all of the room that a lane has, level 2 nine tenths of it, level 3
  seven tenths: as a lane fills, the lower levels meet their bound earlier.
- *Dequeued later.* A request of level p is treated as if it had come (p - 1) quarters of the model's
  time limit later than it did. So it is overtaken only by what comes within that time; after it, it is first.
"""

from typing import Final

from slipway.errors import InvalidInput

FIRST: Final = 1
DEFAULT: Final = 2
LAST: Final = 3
LEVELS: Final = range(FIRST, LAST + 1)
_ROOM: Final = {1: 1.0, 2: 0.9, 3: 0.7}
_AGE_SHARE: Final = 0.25  # of the time limit, a level: as long as a request usually waits at the most


def level_of(priority: int) -> int:
    """The level that a client asks for by the Open Inference Protocol: 1 is the highest, 0 the default.

    Raises:
        InvalidInput: There is no such level.
    """
    if priority == 0:
        return DEFAULT
    if priority not in LEVELS:
        raise InvalidInput(f"parameter priority is {priority}; 1 goes first, 2 or 0 is usual, 3 waits")
    return priority


def room(level: int) -> float:
    """The share of a lane's room that a level may fill."""
    return _ROOM[level]


def handicap_s(level: int, timeout_s: float) -> float:
    """How much later than it did a request counts as having come."""
    return (level - 1) * _AGE_SHARE * timeout_s
