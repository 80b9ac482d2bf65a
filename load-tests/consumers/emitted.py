"""What the gateway emits: its own records, through its own spool and shipper's producer, to `predictions`."""

import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from services.gateway.catalog import Catalog, Model
from services.gateway.domain.batching import Columns
from services.gateway.domain.checks import CheckedInput, InputTensor, check_inputs
from services.gateway.domain.routing import choose
from services.gateway.records import Prediction, served
from services.gateway.spool import Spool
from slipway.identity.caller import Caller
from slipway.ids import new_id
from slipway.kafka import Producer
from slipway.policy.engine import UNDECIDED
from slipway.v1.rollout_pb2 import ModelSpec, RouteTable

FEATURES: Final = tuple(f"feature_{number:02d}" for number in range(30))
MODELS: Final = ("loans", "claims", "churn")
_CALLERS: Final = tuple(
    Caller(principal=name, tenant="default", roles=("app",), method="api_key", credential_id=name)
    for name in ("branch", "web", "batch")
)
# One request in ten carries several rows, one in ten the client's own key, one in twenty lay in the cache.
_MANY_ROWS, _MANY_ROWS_SHARE, _KEYED_SHARE, _CACHED_SHARE = 4, 0.1, 0.1, 0.05
_VARIANTS: Final = 200
_PER_S: Final = 5000
_AT_ONCE: Final = 2_000
_SPOOL_BYTES: Final = 2**30
_SEGMENT_BYTES: Final = 16 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Emitted:
    """What lies in the topic."""

    predictions: int
    rows: int
    value_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """A request that was checked, with its answer."""

    checked: CheckedInput
    outputs: Columns


class _Questions:
    """Drawn by lot, but each version's answers alternate: one that only ever says the same is taken back."""

    def __init__(self, models: Sequence[Model], rng: random.Random) -> None:
        self._rng = rng
        self._made = {(m.name, rows): _made(m, rows) for m in models for rows in (1, _MANY_ROWS)}
        self._turns: Counter[tuple[str, str]] = Counter()

    def draw(self, model: str, version: str, *, rows: int) -> _Question:
        """The next question to a version."""
        self._turns[model, version] += 1
        made = self._made[model, rows]
        return made[2 * self._rng.randrange(len(made) // 2) + self._turns[model, version] % 2]


def spec_of(model: str) -> str:
    """A classifier with 30 numeric features whose canary stays where it is, however much it serves."""
    features = ", ".join(f"{{name: {name}, range: [-10, 10]}}" for name in FEATURES)
    return f"""name: {model}
task: binary
features: [{features}]
label: {{name: y, classes: ["0", "1"]}}
rollout: {{steps: [{{weight_percent: 10, min_rows: 1000000000}}], deadline_s: 1000000}}
"""


async def emit(
    bootstrap: str, tables: Sequence[RouteTable], *, count: int, say: Callable[[str], None]
) -> Emitted:
    """Record `count` predictions of these models as the gateway does, and ship them."""
    catalog = Catalog()
    for table in tables:
        catalog.apply_spec(
            ModelSpec(name=table.model, tenant="default", revision=1, yaml=spec_of(table.model))
        )
        catalog.apply_route(table)
    producer, rows, sent_bytes, done = Producer(bootstrap), 0, 0, 0
    await producer.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            spool = Spool(Path(folder) / "records", limit_bytes=_SPOOL_BYTES, segment_bytes=_SEGMENT_BYTES)
            records = _records(tuple(catalog.models.values()), count)
            while done < count:
                batch = [next(records) for _ in range(min(_AT_ONCE, count - done))]
                spool.append_packed([packed for packed, _ in batch])
                sent_bytes += await _ship(spool, producer)
                rows += sum(row_count for _, row_count in batch)
                done += len(batch)
                say(f"emitted {done:,} of {count:,} predictions")
            spool.close()
    finally:
        await producer.stop()
    return Emitted(predictions=count, rows=rows, value_bytes=sent_bytes)


async def _ship(spool: Spool, producer: Producer) -> int:
    size = 0
    while True:
        messages, position = spool.read()
        if not messages:
            return size
        await producer.publish(messages)
        spool.advance(position)
        size += sum(len(message.value) for message in messages)


def _records(models: Sequence[Model], count: int) -> Iterator[tuple[bytes, int]]:
    """Packed records and their rows: the same for the same count, but for ids and times."""
    rng = random.Random(7)
    questions = _Questions(models, rng)
    now_s = time.time() - count / _PER_S
    for number in range(count):
        model = rng.choice(models)
        rows = _MANY_ROWS if rng.random() < _MANY_ROWS_SHARE else 1
        identity = new_id()
        arm = choose(model.route, identity)
        question = questions.draw(model.name, arm.version, rows=rows)
        prediction = Prediction(
            prediction_id=identity,
            caller=rng.choice(_CALLERS),
            decision=UNDECIDED,
            arm=arm,
            form=model.forms[arm.version],
            contract=model.contract,
            route_epoch=model.route.epoch,
            unit="",
            business_key=f"order-{number}" if rng.random() < _KEYED_SHARE else "",
            request_id=str(number),
            checked=question.checked,
            protocol="grpc",
            cached="local" if rng.random() < _CACHED_SHARE else "",
        )
        latency_s = rng.uniform(0.001, 0.01)
        yield served(prediction, question.outputs, now_s=now_s + number / _PER_S, latency_s=latency_s), rows


def _made(model: Model, rows: int) -> list[_Question]:
    """The first row of every second one is answered "1"."""
    rng = np.random.default_rng(rows)
    found = []
    for number in range(_VARIANTS):
        raw = rng.normal(size=(rows, len(FEATURES))).astype("<f4").tobytes()
        tensor = InputTensor(name="features", datatype="FP32", shape=(rows, len(FEATURES)), raw=raw)
        chance = rng.uniform(size=rows).astype("<f4")
        chance[0] = (chance[0] + number % 2) / 2
        labels = b"".join(b"\1\0\0\0" + (b"1" if p >= 0.5 else b"0") for p in chance)
        probabilities = np.stack([1 - chance, chance], axis=1).astype("<f4").tobytes()
        found.append(
            _Question(checked=check_inputs(model.contract, [tensor]), outputs=(labels, probabilities))
        )
    return found
