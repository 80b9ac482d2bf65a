"""State between records: values of two Faust tables, each a function of what its source's log held."""

from collections.abc import Mapping
from typing import Protocol

from pydantic import TypeAdapter

from services.drift_detection.domain.accumulation import Accumulator
from services.drift_detection.domain.monitor import ModelState


class Table(Protocol):
    """Bytes by key; a write is durable when it returns."""

    def get(self, key: bytes) -> bytes | None:
        """The value, None where there is none."""
        ...

    async def write(self, partition: int, key: bytes, value: bytes) -> None:
        """Set a value that belongs to a partition of the source."""
        ...


ACCUMULATOR = TypeAdapter(Accumulator)
MODEL_STATE = TypeAdapter(ModelState)


class Accumulators:
    """Open slots by source topic, partition and model."""

    def __init__(self, tables: Mapping[str, Table]) -> None:
        self._tables = tables

    def load(self, topic: str, partition: int, model: str) -> Accumulator:
        """The state so far; an empty one for a model that is new."""
        value = self._tables[topic].get(_key(partition, model))
        return ACCUMULATOR.validate_json(value) if value else Accumulator()

    async def save(self, topic: str, partition: int, model: str, *, state: Accumulator) -> None:
        """Keep the state behind the events at hand."""
        await self._tables[topic].write(partition, _key(partition, model), ACCUMULATOR.dump_json(state))


class ModelStates:
    """What is known of each model."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def load(self, model: str) -> ModelState:
        """The state so far; an empty one for a model that is new."""
        value = self._table.get(model.encode())
        return MODEL_STATE.validate_json(value) if value else ModelState()

    async def save(self, partition: int, model: str, *, state: ModelState) -> None:
        """Keep the state behind the events at hand, which came from `partition` of the blocks."""
        await self._table.write(partition, model.encode(), MODEL_STATE.dump_json(state))


def _key(partition: int, model: str) -> bytes:
    return f"{partition}/{model}".encode()
