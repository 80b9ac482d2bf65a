"""Answers in this process: the least recently used go when the bytes run out."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from services.gateway import metrics
from services.gateway.domain.batching import Columns
from services.gateway.domain.caching import Keys, StaleAnswer

ENTRY_BYTES: Final = 900  # of Python objects around an answer, measured with tracemalloc
_LARGEST_SHARE: Final = 8  # one answer may take an eighth of the room


@dataclass(slots=True, eq=False, kw_only=True)
class _Entry:
    model: str
    keys: Keys
    answer: StaleAnswer
    computed_s: float
    size_bytes: int
    is_retired: bool = False


class LocalTier:
    """A bounded store. Times are on the monotonic clock."""

    def __init__(self, limit_bytes: int) -> None:
        self.size_bytes = 0
        self._limit_bytes = limit_bytes
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._latest: dict[bytes, _Entry] = {}  # by question, whichever version answered last
        self._of_model: dict[str, set[bytes]] = {}
        self._evicted = metrics.CACHE_EVICTIONS.labels("room")
        self._flushed = metrics.CACHE_EVICTIONS.labels("turnover")

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes, *, now_s: float, ttl_s: float) -> Columns | None:
        """The answer that this version gave, unless it is too old."""
        entry = self._entries.get(key)
        if entry is None or entry.is_retired or now_s - entry.computed_s >= ttl_s:
            return None
        self._entries.move_to_end(key)
        return entry.answer.outputs

    def stale(self, question: bytes, *, now_s: float, oldest_s: float) -> StaleAnswer | None:
        """The last answer to a question, by whichever version, up to an age."""
        entry = self._latest.get(question)
        return entry.answer if entry is not None and now_s - entry.computed_s < oldest_s else None

    def put(self, model: str, keys: Keys, answer: StaleAnswer, *, computed_s: float) -> None:
        """Keep an answer, at the cost of those unused for longest."""
        size_bytes = ENTRY_BYTES + sum(map(len, answer.outputs))
        if size_bytes * _LARGEST_SHARE > self._limit_bytes:
            return
        self._remove(keys.exact)
        entry = _Entry(model=model, keys=keys, answer=answer, computed_s=computed_s, size_bytes=size_bytes)
        self._entries[keys.exact] = self._latest[keys.any_version] = entry
        self._of_model.setdefault(model, set()).add(keys.exact)
        self.size_bytes += size_bytes
        while self.size_bytes > self._limit_bytes:
            self._remove(next(iter(self._entries)))
            self._evicted.inc()

    def flush(self, model: str) -> None:
        """Forget a model's answers."""
        gone = list(self._of_model.get(model, ()))
        for key in gone:
            self._remove(key)
        self._flushed.inc(len(gone))

    def retire(self, model: str) -> None:
        """Keep a model's answers for `stale` alone."""
        for key in self._of_model.get(model, ()):
            self._entries[key].is_retired = True

    def _remove(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self.size_bytes -= entry.size_bytes
        if self._latest.get(entry.keys.any_version) is entry:
            del self._latest[entry.keys.any_version]
        of_model = self._of_model[entry.model]
        of_model.discard(key)
        if not of_model:
            del self._of_model[entry.model]
