"""`slipway train`: a training by hand, with everything the gate says."""

import asyncio
import io
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.table import Table

from slipway import rpc
from slipway import spec as model_spec
from slipway.errors import InvalidInput
from slipway.stack.environment import cli_environment
from slipway.v1 import retraining_pb2 as pb
from slipway.v1.retraining_pb2_grpc import RetrainingControlStub
from slipway.v1.rollout_pb2 import RolloutStatusRequest
from slipway.v1.rollout_pb2_grpc import RolloutControlStub

_CALL_S: Final = 30.0
_TRAIN_S: Final = 2 * 3600.0
_CHUNK_BYTES: Final = 1024 * 1024
_OUTCOMES: Final = ("blessed", "rejected", "insufficient")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Operator:
    """Where the services answer, and the token that opens them."""

    retraining: str
    rollout: str
    metadata: tuple[tuple[str, str], ...]


def train(
    model: Annotated[str, typer.Argument(help="The model's name, as its spec says.")],
    data: Annotated[
        Path | None, typer.Option(help="A Parquet file to learn from first; row order is time order.")
    ] = None,
    target: Annotated[str, typer.Option(help="Its column with the label; the spec's when omitted.")] = "",
    *,
    evidence: Annotated[str, typer.Option(help="Why, in words; it stands in the lineage.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Train a model now and show what the gate says. Code 1 when no version was blessed.

    Examples:

        slipway train elec2

        slipway train elec2 --data history.parquet --target price_up
    """
    if target and data is None:
        raise typer.BadParameter("--target names a column of --data; give both", param_hint="--target")
    console = Console(stderr=True, highlight=False)
    outcome = asyncio.run(_train(model, data, target=target, evidence=evidence, console=console))
    name = outcome.WhichOneof("outcome")
    decided = getattr(outcome, name)
    if as_json:
        document = {"outcome": name, **_plain(decided)}
        typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    else:
        _show(name, decided, console=Console(highlight=False))
    if name != "blessed":
        reason = f"{model} was not blessed ({name}): {_escaped(decided.reason)}"
        console.print(f"[bold red]error:[/] {reason}", soft_wrap=True)
        raise typer.Exit(1)


async def _train(
    model: str, data: Path | None, *, target: str, evidence: str, console: Console
) -> pb.TrainModelProgress:
    operator = _operator()
    async with _retraining(operator) as stub:
        if data is not None:
            parquet = await _read(data, operator, model=model, target=target)
            dataset = await _register(stub, operator, model=model, name=data.name, parquet=parquet)
            console.print(f"dataset {dataset.dataset_id[:12]}: {dataset.rows} rows")
        request = pb.TrainModelRequest(
            model=model, actor=os.environ.get("USER", "operator"), evidence=evidence
        )
        with rpc.translating("retraining"):
            async for progress in stub.Train(request, timeout=_TRAIN_S, metadata=operator.metadata):
                if progress.WhichOneof("outcome"):
                    outcome: pb.TrainModelProgress = progress
                    return outcome
                console.print(f"[dim]{progress.stage:<18}[/] {_escaped(progress.message)}", soft_wrap=True)
    raise InvalidInput("retraining ended its answer without an outcome; see `slipway logs retraining`")


async def _register(
    stub: Any, operator: _Operator, *, model: str, name: str, parquet: bytes
) -> pb.RegisterDatasetResponse:
    def chunks() -> Iterator[pb.DatasetChunk]:
        yield pb.DatasetChunk(model=model, name=name)
        for at in range(0, len(parquet), _CHUNK_BYTES):
            yield pb.DatasetChunk(parquet=parquet[at : at + _CHUNK_BYTES])

    with rpc.translating("retraining"):
        call = stub.RegisterDataset(chunks(), timeout=10 * _CALL_S, metadata=operator.metadata)
        dataset: pb.RegisterDatasetResponse = await call
        return dataset


async def _read(path: Path, operator: _Operator, *, model: str, target: str) -> bytes:
    """The file's bytes, with the target column named as the spec calls its label."""
    content = await asyncio.to_thread(_file_bytes, path)
    if not target:
        return content
    label = await _label_of(model, operator)
    return await asyncio.to_thread(_renamed, content, target=target, label=label)


def _file_bytes(path: Path) -> bytes:
    if not path.is_file():
        raise InvalidInput(f"{path} is not a file")
    return path.read_bytes()


def _renamed(content: bytes, *, target: str, label: str) -> bytes:
    try:
        table = pq.read_table(io.BytesIO(content))
    except pa.ArrowException as error:
        raise InvalidInput(f"not a Parquet file: {error}") from error
    if target not in table.column_names:
        raise InvalidInput(f"no column {target!r}; the file has {', '.join(table.column_names)}")
    if target == label:
        return content
    kept = table.drop_columns([label]) if label in table.column_names else table
    names = [label if name == target else name for name in kept.column_names]
    out = io.BytesIO()
    pq.write_table(kept.rename_columns(names), out)
    return out.getvalue()


async def _label_of(model: str, operator: _Operator) -> str:
    async with rpc.channel(operator.rollout) as channel:
        with rpc.translating("rollout"):
            status = await RolloutControlStub(channel).GetStatus(
                RolloutStatusRequest(model=model), timeout=_CALL_S, metadata=operator.metadata
            )
    return model_spec.parse(status.spec.yaml).label.name


@asynccontextmanager
async def _retraining(operator: _Operator) -> AsyncIterator[Any]:
    async with rpc.channel(operator.retraining) as channel:
        yield RetrainingControlStub(channel)


def _operator() -> _Operator:
    environment = {**cli_environment(), **os.environ}
    path = Path(environment["SLIPWAY_SECRETS_DIR"]) / rpc.OPERATOR_TOKEN_FILE
    if not path.is_file():
        raise InvalidInput(f"no operator token at {path}; run `slipway up` first")
    return _Operator(
        retraining=environment["SLIPWAY_RETRAINING_TARGET"],
        rollout=environment["SLIPWAY_ROLLOUT_TARGET"],
        metadata=rpc.operator_metadata(path.read_text().strip()),
    )


def _show(name: str, decided: Any, *, console: Console) -> None:
    if name != "insufficient":
        table = Table("contestant", "accuracy", "log loss", "rows")
        for score in decided.scores:
            loss = f"{score.log_loss:.4f}" if score.log_loss else ""
            table.add_row(score.contestant, f"{score.accuracy:.4f}", loss, str(score.rows))
        console.print(table)
    if name == "blessed":
        console.print(
            f"[green]blessed[/] version {decided.version} from window {decided.window}, "
            f"{decided.training_rows} rows, {decided.training_s:.1f} s: {_escaped(decided.reason)}"
        )


def _plain(decided: Any) -> dict[str, Any]:
    return MessageToDict(decided, preserving_proto_field_name=True)


def _escaped(text: str) -> str:
    return text.replace("[", r"\[")
