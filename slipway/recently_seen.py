"""Delivery is at least once: remember the last few identifiers, to tell a message that comes twice."""

from collections import OrderedDict


class RecentlySeen:
    """The newest `capacity` identifiers of one stream; a double usually follows closely."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._ids: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, identifier: str) -> bool:
        return identifier in self._ids

    def add(self, identifier: str) -> bool:
        """Remember an identifier; whether it was new."""
        if identifier in self._ids:
            self._ids.move_to_end(identifier)
            return False
        self._ids[identifier] = None
        if len(self._ids) > self._capacity:
            self._ids.popitem(last=False)
        return True
