"""`slipway suspects list | clear`: callers whose questions look like an attempt to copy a model."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.markup import escape

from slipway.cli.control_plane import ControlPlane
from slipway.cli.terminal import CONSOLE, Json, TokenFile, ask, print_json
from slipway.rollout_report.document import time_text
from slipway.v1.extraction_pb2 import ClearSuspectRequest, ExtractionSuspected, ListSuspectsRequest
from slipway.v1.extraction_pb2_grpc import QueryWatchStub

T = TypeVar("T")

app = typer.Typer(help="List and clear callers who seem to copy a model.", no_args_is_help=True)


@app.command(name="list")
def list_suspects(
    model: Annotated[str, typer.Argument(help="Only of this model.")] = "",
    *,
    json_out: Json = False,
    token_file: TokenFile = None,
) -> None:
    """List who is suspected now, and why; those of all models are for the stack's own operator.

    Examples:

        slipway suspects list

        slipway suspects list elec2 --json
    """
    request = ListSuspectsRequest(model=model)
    found = _call(lambda stub, how: stub.ListSuspects(request, **how), token_file=token_file).suspects
    if json_out:
        print_json([_plain(alarm) for alarm in found])
        return
    for alarm in found:  # no table: an alarm's id must be whole to be copied
        row = _plain(alarm)
        line = (
            f"[bold]{row['alarm_id']}[/]  {escape(row['principal'])} of {row['model']}, {row['suspected_at']}"
        )
        CONSOLE.print(f"{line}\n    {escape(row['evidence'])}", soft_wrap=True)
    if not found:
        CONSOLE.print("nobody is suspected")


@app.command()
def clear(
    model: Annotated[str, typer.Argument(help="The model that the alarm is about.")],
    alarm_id: Annotated[str, typer.Argument(help="As `slipway suspects list` shows it.")],
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why it is none; stands beside the alarm.")],
    json_out: Json = False,
    token_file: TokenFile = None,
) -> None:
    """End a suspicion: the caller is as good as new, and what led to it is forgotten.

    Examples:

        slipway suspects clear elec2 0192f0c1-... --reason "the nightly stress test of the pricing team"
    """
    request = ClearSuspectRequest(alarm_id=alarm_id, model=model, reason=reason)
    cleared = _call(lambda stub, how: stub.ClearSuspect(request, **how), token_file=token_file)
    if json_out:
        print_json({"alarm_id": cleared.alarm_id, "principal": cleared.principal, "model": cleared.model})
    else:
        typer.echo(f"{cleared.principal} is no longer suspected of copying {cleared.model}.")


def _call(method: Callable[[Any, dict[str, Any]], Awaitable[T]], *, token_file: Path | None) -> T:
    plane = ControlPlane(operator_token_file=token_file)
    return ask(plane.call("query_watch", QueryWatchStub, method))


def _plain(alarm: ExtractionSuspected) -> dict[str, Any]:
    return {
        "alarm_id": alarm.alarm_id,
        "tenant": alarm.tenant,
        "principal": alarm.principal,
        "model": alarm.model,
        "signal": alarm.signal,
        "statistic": alarm.statistic,
        "threshold": alarm.threshold,
        "queries": alarm.queries,
        "new_queries": alarm.new_queries,
        "since": time_text(alarm.since),
        "suspected_at": time_text(alarm.suspected_at),
        "evidence": alarm.evidence,
    }
