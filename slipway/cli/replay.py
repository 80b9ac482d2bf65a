"""`slipway replay`: a labelled stream through the whole platform."""

import asyncio
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from slipway.errors import SlipwayError
from slipway.replay.pace import parse_pace
from slipway.replay.report import Report, table
from slipway.replay.session import Options, Session
from slipway.replay.stream import Stream, load
from slipway.stack.environment import cli_environment
from slipway.stack.stack import build_stack
from slipway.stack.stack_status import stack_status

File = Annotated[Path, typer.Argument(help="A .csv, .csv.gz or .parquet file in time order.")]
Target = Annotated[str, typer.Option(help="The column that holds the true label.")]
SpecFile = Annotated[Path | None, typer.Option(help="A model spec; without it one is inferred.")]
Name = Annotated[str | None, typer.Option(help="Call the model this instead.")]
Warmup = Annotated[int, typer.Option(help="Version 1 is trained on this many rows.")]
Delay = Annotated[int, typer.Option(help="A label arrives this many rows after its row.")]
PaceText = Annotated[str, typer.Option(help="`faithful`, or rows per second.")]
Limit = Annotated[int | None, typer.Option(help="Use only the first rows of the file.", min=2)]
JsonFile = Annotated[Path | None, typer.Option(help="Write the report here.")]
PlotFile = Annotated[Path | None, typer.Option(help="Write the picture here; default: beside --json.")]


def replay(
    file: File,
    target: Target,
    spec: SpecFile = None,
    name: Name = None,
    warmup: Warmup = 1000,
    delay: Delay = 48,
    pace: PaceText = "faithful",
    limit: Limit = None,
    json: JsonFile = None,
    plot: PlotFile = None,
) -> None:
    r"""Run a labelled stream through the running stack, from the first version to the last rollout.

    Trains version 1 on the first --warmup rows, sends the others in time order through the gateway and
    publishes each label --delay rows later. With `--pace faithful` the stream waits while a training or
    a deployment runs; with a number it never waits.

    Examples:

      slipway replay examples/elec2/data/elec2.parquet --target price_up \
        --spec examples/elec2/model.yaml --warmup 4032

      slipway replay my.csv.gz --target churned --warmup 2000 --delay 100 --pace 500 --json out/report.json
    """
    options = Options(
        warmup=warmup, delay=delay, pace=parse_pace(pace), pace_text=pace, plot=_plot_path(json, plot)
    )
    stream = load(file, target=target, spec_path=spec, name=name, limit=limit)
    for path in filter(None, (json, options.plot)):
        path.parent.mkdir(parents=True, exist_ok=True)
    console = Console()
    report = _run(stream, options, console)
    console.print(table(report))
    if json:
        json.write_bytes(orjson.dumps(report.to_json(), option=orjson.OPT_INDENT_2))
        console.print(f"report: {json}")
    if options.plot:
        console.print(f"picture: {options.plot}")


def _run(stream: Stream, options: Options, console: Console) -> Report:
    session = Session(
        options=options,
        environment=cli_environment(),
        console=console,
        resident_memory_mib=_resident_memory_mib,
    )
    try:
        return asyncio.run(session.run(stream))
    except* SlipwayError as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from group


def _resident_memory_mib() -> int:
    return sum(part.memory_bytes for part in stack_status(build_stack())) // 2**20


def _plot_path(json: Path | None, plot: Path | None) -> Path | None:
    return plot or (json.with_suffix(".png") if json else None)
