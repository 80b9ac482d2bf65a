"""`slipway replay`: a labelled stream through the whole platform."""

import asyncio
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from slipway.errors import SlipwayError
from slipway.replay.pace import parse_pace
from slipway.replay.report import table
from slipway.replay.session import Options, Session
from slipway.replay.stream import load
from slipway.stack.environment import cli_environment
from slipway.stack.stack import build_stack
from slipway.stack.stack_status import stack_status


def replay(
    file: Annotated[Path, typer.Argument(help="A .csv, .csv.gz or .parquet file in time order.")],
    target: Annotated[str, typer.Option(help="The column that holds the true label.")],
    spec: Annotated[Path | None, typer.Option(help="A model spec; without it one is inferred.")] = None,
    name: Annotated[str | None, typer.Option(help="Call the model this instead.")] = None,
    warmup: Annotated[int, typer.Option(help="Version 1 is trained on this many rows.")] = 1000,
    delay: Annotated[int, typer.Option(help="A label arrives this many rows after its row.")] = 48,
    pace: Annotated[str, typer.Option(help="`faithful`, or rows per second.")] = "faithful",
    limit: Annotated[int | None, typer.Option(help="Use only the first rows of the file.", min=2)] = None,
    json: Annotated[Path | None, typer.Option(help="Write the report here.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write the picture here; default: beside --json.")] = None,
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
    console = Console()
    options = Options(
        warmup=warmup, delay=delay, pace=parse_pace(pace), pace_text=pace, plot=_plot_path(json, plot)
    )
    stream = load(file, target=target, spec_path=spec, name=name, limit=limit)
    for path in filter(None, (json, options.plot)):
        path.parent.mkdir(parents=True, exist_ok=True)
    session = Session(
        options=options,
        environment=cli_environment(),
        console=console,
        resident_memory_mib=_resident_memory_mib,
    )
    try:
        report = asyncio.run(session.run(stream))
    except* SlipwayError as group:
        raise group.exceptions[0] from group
    console.print(table(report))
    if json:
        json.write_bytes(orjson.dumps(report.to_json(), option=orjson.OPT_INDENT_2))
        console.print(f"report: {json}")
    if options.plot:
        console.print(f"picture: {options.plot}")


def _resident_memory_mib() -> int:
    return sum(part.memory_bytes for part in stack_status(build_stack())) // 2**20


def _plot_path(json: Path | None, plot: Path | None) -> Path | None:
    return plot or (json.with_suffix(".png") if json else None)
