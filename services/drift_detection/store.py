"""State between records: values of two Faust tables, each a function of what its source's log held."""

from collections.abc import MutableMapping

from pydantic import TypeAdapter

from services.drift_detection.domain.accumulation import Accumulator
from services.drift_detection.domain.monitor import ModelState

# A Faust table: writes go to its changelog topic, in the partition of the event at hand.
Table = MutableMapping[bytes, bytes]

ACCUMULATOR = TypeAdapter(Accumulator)
MODEL_STATE = TypeAdapter(ModelState)


class Accumulators:
    """Open slots by source topic, partition and model."""

    def __init__(self, tables: dict[str, Table]) -> None:
        self._tables = tables

    def load(self, topic: str, partition: int, model: str) -> Accumulator:
        """The state so far; an empty one for a model that is new."""
        value = self._tables[topic].get(_key(partition, model))
        return ACCUMULATOR.validate_json(value) if value else Accumulator()

    def save(self, topic: str, partition: int, model: str, state: Accumulator) -> None:
        """Keep the state behind the events at hand."""
        self._tables[topic][_key(partition, model)] = ACCUMULATOR.dump_json(state)


class ModelStates:
    """What is known of each model."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def load(self, model: str) -> ModelState:
        """The state so far; an empty one for a model that is new."""
        value = self._table.get(model.encode())
        return MODEL_STATE.validate_json(value) if value else ModelState()

    def save(self, model: str, state: ModelState) -> None:
        """Keep the state behind the events at hand."""
        self._table[model.encode()] = MODEL_STATE.dump_json(state)


def _key(partition: int, model: str) -> bytes:
    return f"{partition}/{model}".encode()
