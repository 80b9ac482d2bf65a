"""`slipway score`: a whole file through a model."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from slipway import rpc
from slipway.cli.control_plane import ControlPlane
from slipway.client.asynchronous import AsyncSlipway
from slipway.client.encoding import ModelInputs
from slipway.clock import SystemClock
from slipway.errors import Conflict, InvalidInput, SlipwayError
from slipway.score.desk import ScoreDesk
from slipway.score.progress_file import Plan, ProgressFile, planned_chunk_rows, progress_path
from slipway.score.run import Scoring, Task, plan_of
from slipway.score.table_file import columns_of, is_csv
from slipway.tls import parse_target
from slipway.v1.keys_pb2 import CreateKeyRequest, RevokeKeyRequest
from slipway.v1.keys_pb2_grpc import KeyAdminStub

_TALK: Final = Console(stderr=True, highlight=False)
_PRINCIPAL: Final = "score"
_PATIENCE_S: Final = 300.0
_ROWS_UNTOLD: Final = 100  # of a gateway that does not tell how many rows it takes at once

Model = Annotated[str, typer.Argument(help="The model's name.")]
File = Annotated[Path, typer.Argument(help="A .csv, .csv.gz or .parquet file with the model's columns.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="The same rows with predictions; of the same format.")]
Key = Annotated[str, typer.Option("--key", envvar="SLIPWAY_API_KEY", help="API key of the caller.")]
Target = Annotated[str, typer.Option(help="host:port of the gateway; the local stack's when omitted.")]
ChunkRows = Annotated[int, typer.Option(help="Rows of one job; as many as the model takes when omitted.")]
Outstanding = Annotated[int, typer.Option(help="Jobs under way at once.", min=1, max=1000)]
Prefix = Annotated[str, typer.Option(help="Before the names of the new columns.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def score(
    model: Model,
    file: File,
    out: Out,
    key: Key = "",
    target: Target = "",
    chunk_rows: ChunkRows = 0,
    outstanding: Outstanding = 16,
    prefix: Prefix = "prediction_",
    json_out: Json = False,
) -> None:
    """Predict every row of a file, and write the rows with their predictions.

    The rows go as jobs of low priority, behind whatever else the model is asked. Interrupted, the same
    command goes on where it was. Without --key, and on the machine of the stack, it makes itself a key.

    Examples:

        slipway score elec2 examples/elec2/data/elec2.parquet -o out/scored.parquet

        slipway score churn customers.csv.gz -o scored.csv.gz --key "$KEY" --outstanding 64

        slipway score churn customers.csv -o scored.csv --json | jq .rows_by_version
    """
    chosen = _Chosen(
        model=model,
        file=file,
        out=out,
        key=key,
        target=target or ControlPlane().environment["SLIPWAY_GATEWAY_TARGET"],
        chunk_rows=chunk_rows,
        outstanding=outstanding,
        prefix=prefix,
    )
    _run(chosen, as_json=json_out)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    """What the caller chose."""

    model: str
    file: Path
    out: Path
    key: str
    target: str
    chunk_rows: int
    outstanding: int
    prefix: str


def _run(chosen: _Chosen, *, as_json: bool) -> None:
    _check_files(chosen.file, chosen.out)
    try:
        report = asyncio.run(_score(chosen))
    except* SlipwayError as group:
        raise _first(group) from group
    except* KeyboardInterrupt:
        _TALK.print(f"interrupted; the same command goes on from {progress_path(chosen.out)}")
        raise typer.Exit(130) from None
    if as_json:
        typer.echo(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode())
    else:
        _TALK.print(f"[green]{report['rows']:,} rows[/] in {report['seconds']:.1f} s: {chosen.out}")


def _check_files(file: Path, out: Path) -> None:
    if is_csv(file) != is_csv(out):
        raise InvalidInput(f"{out} must be of the format of {file}: both CSV, or both Parquet")
    if not file.is_file():
        raise InvalidInput(f"there is no file {file}")
    if out.exists() and not progress_path(out).exists():
        raise Conflict(f"{out} exists already; give another output or delete it")
    out.parent.mkdir(parents=True, exist_ok=True)


async def _score(chosen: _Chosen) -> dict[str, Any]:
    clock = SystemClock()
    start_s = clock.monotonic_s()
    async with _api_key(chosen.key) as api_key:
        gateway = parse_target(chosen.target)
        credentials = gateway.grpc() if gateway.is_encrypted else None
        async with AsyncSlipway(gateway.address, api_key, channel_credentials=credentials) as client:
            inputs = await client.inputs(chosen.model)
        task = Task(
            file=chosen.file,
            out=chosen.out,
            inputs=inputs,
            prefix=chosen.prefix,
            outstanding=chosen.outstanding,
        )
        with _bars() as bars:
            plan = _plan(task, chosen, bars)
            async with rpc.channel(chosen.target) as channel:
                desk = ScoreDesk(channel, api_key=api_key, clock=clock, patience_s=_PATIENCE_S)
                with ProgressFile(progress_path(chosen.out), plan) as progress:
                    scoring = Scoring(task, plan, progress=progress, desk=desk, clock=clock)
                    resumed = await scoring.send(_bar(bars, "predicting", plan.rows))
                    by_version = await asyncio.to_thread(scoring.write, _bar(bars, "writing", plan.rows))
    return {
        "model": chosen.model,
        "rows": plan.rows,
        "resumed_rows": resumed,
        "rows_by_version": by_version,
        "out": str(chosen.out),
        "seconds": round(clock.monotonic_s() - start_s, 3),
    }


def _plan(task: Task, chosen: _Chosen, bars: Progress) -> Plan:
    """Check the file; a run that is continued keeps its chunks."""
    new = [name for name in columns_of(task.file) if name.startswith(task.prefix)]
    if new:
        raise InvalidInput(
            f"{task.file} has columns that begin with {task.prefix!r} ({', '.join(new)}): "
            "give another --prefix"
        )
    chunk_rows = planned_chunk_rows(progress_path(task.out)) or _chunk_rows(task.inputs, chosen.chunk_rows)
    reading = bars.add_task("checking", total=None)
    plan = plan_of(task, chunk_rows=chunk_rows, tell=lambda rows: bars.update(reading, completed=rows))
    bars.update(reading, total=plan.rows)
    return plan


def _chunk_rows(inputs: ModelInputs, wanted: int) -> int:
    most = inputs.max_rows or _ROWS_UNTOLD
    if not 0 <= wanted <= (inputs.max_rows or wanted):
        raise InvalidInput(f"--chunk-rows {wanted}: {inputs.model} takes 1 to {most} rows at once")
    return wanted or most


@asynccontextmanager
async def _api_key(given: str) -> AsyncIterator[str]:
    """The caller's key, or one of its own that lasts as long as the run."""
    if given:
        yield given
        return
    plane = ControlPlane()
    request = CreateKeyRequest(principal=_PRINCIPAL)
    made = await plane.call("gateway_admin", KeyAdminStub, lambda stub, how: stub.CreateKey(request, **how))
    try:
        yield made.secret
    finally:
        revoked = RevokeKeyRequest(key_id=made.info.key_id)
        await plane.call("gateway_admin", KeyAdminStub, lambda stub, how: stub.RevokeKey(revoked, **how))


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description:>10}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("rows"),
        TimeRemainingColumn(),
        console=_TALK,
    )


def _bar(bars: Progress, what: str, rows: int) -> Callable[[int], None]:
    bar = bars.add_task(what, total=rows)
    return lambda done: bars.advance(bar, done)


def _first(group: BaseException) -> SlipwayError:
    """The first failure in a group of them."""
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    assert isinstance(group, SlipwayError)
    return group
