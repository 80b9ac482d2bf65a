"""Delivery is at least once: remember the last few identifiers, to tell a message that comes twice."""

from collections import OrderedDict


class RecentlySeen:
    """The newest `capacity` identifiers of one stream; a double usually follows closely."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._ids: OrderedDict[str, str] = OrderedDict()

    def __contains__(self, identifier: str) -> bool:
        return identifier in self._ids

    def add(self, identifier: str, *, at: str = "") -> bool:
        """Remember an identifier; whether it was new, or was seen at this very place before.

        Args:
            identifier: What a double has in common with the first.
            at: Where it stands in the stream: the same message, read again, is no double.
        """
        if identifier in self._ids:
            self._ids.move_to_end(identifier)
            return bool(at) and self._ids[identifier] == at
        self._ids[identifier] = at
        if len(self._ids) > self._capacity:
            self._ids.popitem(last=False)
        return True
