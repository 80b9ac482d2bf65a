"""`slipway rollout ...`: every verb of a rollout, what it says, and its report."""

import asyncio
import importlib
import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from slipway.cli import rollout_watch
from slipway.cli.control_plane import ACTOR, ControlPlane, list_statuses
from slipway.cli.rollout_status import plain_status, read_failed_notices, render, table_row
from slipway.cli.terminal import CONSOLE, Json, Model, Reason, TokenFile, ask, print_json
from slipway.v1 import rollout_pb2
from slipway.v1.notices_pb2 import NoticeSecretRequest
from slipway.v1.notices_pb2_grpc import RolloutNoticesStub

_EVENTS: Final = 10
_INTERRUPTED: Final = 130
app = typer.Typer(help="Bring a version to its users, step by step, or take it back.", no_args_is_help=True)


@app.command()
def start(
    model: Model,
    version: Annotated[str, typer.Argument(help="A registered version.")],
    *,
    rival: Annotated[
        list[str] | None, typer.Option("--rival", help="One more version for the A/B step; repeat it.")
    ] = None,
    reason: Reason = "",
    json_out: Json = False,
    token_file: TokenFile = None,
) -> None:
    """Roll a registered version out by the steps of the model's spec; while one is live it waits.

    Examples:

        slipway rollout start elec2 7 --reason "the aborted one, with a fixed feature"

        slipway rollout start shop 12 --rival 13 --reason "which ranking sells more"
    """
    request = rollout_pb2.StartRolloutRequest(
        model=model, version=version, rivals=rival or [], actor=ACTOR, reason=reason
    )
    plane = ControlPlane(operator_token_file=token_file)
    _show(ask(plane.rollout(lambda stub, how: stub.StartRollout(request, **how))), json_out)


@app.command()
def status(model: Model, *, json_out: Json = False, token_file: TokenFile = None) -> None:
    """Show where a model's rollout stands: in words, then each rule with its samples and evidence.

    Examples:

        slipway rollout status elec2

        slipway rollout status elec2 --json
    """
    plane = ControlPlane(operator_token_file=token_file)
    now = ask(plane.status(model, events=_EVENTS))
    failed = ask(read_failed_notices(plane, model))
    if json_out:
        print_json(plain_status(now, failed))
    else:
        CONSOLE.print(render(now, failed))


@app.command()
def watch(
    model: Model,
    *,
    json_out: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line for each change.")
    ] = False,
    token_file: TokenFile = None,
) -> None:
    """Follow the live rollout to its end, also while the control plane is away.

    Ends with 0 when the version was promoted, with 3 when it was taken back; without a live rollout at once,
    by how the last one ended. Without a terminal it prints a line for each change.

    Examples:

        slipway rollout watch elec2

        slipway rollout start elec2 7 && slipway rollout watch elec2 --json || echo "taken back"
    """
    plane = ControlPlane(operator_token_file=token_file)
    display = (
        rollout_watch.JsonLines()
        if json_out
        else rollout_watch.Screen(CONSOLE)
        if CONSOLE.is_terminal
        else rollout_watch.PlainLines()
    )
    try:
        with display:
            outcome = asyncio.run(rollout_watch.follow(plane, model, display=display))
    except KeyboardInterrupt:
        typer.echo(f"the rollout goes on; `slipway rollout status {model}` shows it", err=True)
        sys.exit(_INTERRUPTED)
    sys.exit(outcome.exit_code)


@app.command()
def pause(model: Model, *, reason: Reason = "", json_out: Json = False, token_file: TokenFile = None) -> None:
    """Let the version not go on until `resume`; harm, aborts and rollbacks still take it back.

    Examples:

        slipway rollout pause elec2 --reason "the data team looks at the new feature"
    """
    _command("Pause", model, reason=reason, json_out=json_out, token_file=token_file)


@app.command()
def resume(
    model: Model, *, reason: Reason = "", json_out: Json = False, token_file: TokenFile = None
) -> None:
    """End a pause; the time of the pause does not count against the step's deadline.

    Examples:

        slipway rollout resume elec2
    """
    _command("Resume", model, reason=reason, json_out=json_out, token_file=token_file)


@app.command()
def promote(
    model: Model, *, reason: Reason = "", json_out: Json = False, token_file: TokenFile = None
) -> None:
    """Skip what is left of the steps: the version takes all requests now, and the bake follows.

    The log says that it was promoted by hand, and what was not proven then.

    Examples:

        slipway rollout promote elec2 --reason "the champion answers with last year's tariff"
    """
    _command("Promote", model, reason=reason, json_out=json_out, token_file=token_file)


@app.command()
def approve(
    model: Model, *, reason: Reason = "", json_out: Json = False, token_file: TokenFile = None
) -> None:
    """Sign the present step; your token must carry the role that the spec names.

    Examples:

        slipway rollout approve elec2 --reason "looked at the slices" --operator-token-file ~/.slipway-token
    """
    _command("Approve", model, reason=reason, json_out=json_out, token_file=token_file)


@app.command()
def abort(model: Model, *, reason: Reason = "", json_out: Json = False, token_file: TokenFile = None) -> None:
    """End the rollout that is under way; the champion answers everything again. Without one: nothing.

    Examples:

        slipway rollout abort elec2 --reason "the wrong file"

        slipway abort elec2
    """
    _command("Abort", model, reason=reason, json_out=json_out, token_file=token_file)


@app.command()
def rollback(
    model: Model, *, reason: Reason = "", json_out: Json = False, token_file: TokenFile = None
) -> None:
    """Return to the version before, at once while it is warm. During a rollout: take that one back.

    Examples:

        slipway rollout rollback elec2 --reason "complaints from the trading desk"

        slipway rollback elec2
    """
    _command("Rollback", model, reason=reason, json_out=json_out, token_file=token_file)


@app.command()
def report(
    model: Model,
    *,
    rollout: Annotated[str, typer.Option("--rollout", help="Its id; the latest when omitted.")] = "",
    folder: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the three files go.")
    ] = Path(),
    json_out: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON, write no files.")
    ] = False,
    token_file: TokenFile = None,
) -> None:
    """Write who rolled what out and why, the evidence of each step, and what was proven and what was not.

    Three files: Markdown for people, JSON for programs, and the curves as PNG.

    Examples:

        slipway rollout report elec2

        slipway rollout report elec2 --rollout 019ab3c0-5d1e-7aa0-8000-1c2d3e4f5a6b -o reports/
    """
    plane = ControlPlane(operator_token_file=token_file)
    request = rollout_pb2.RolloutReportRequest(model=model, rollout_id=rollout)
    answer = ask(plane.rollout(lambda stub, how: stub.GetReport(request, **how)))
    # matplotlib takes most of a second to import: the other commands must not wait for it.
    files = importlib.import_module("slipway.rollout_report.files")
    if json_out:
        print_json(files.document_of(answer))
        return
    for path in files.write(answer, folder):
        typer.echo(path)


@app.command(name="list")
def list_rollouts(
    *,
    is_live: Annotated[bool, typer.Option("--live", help="Only rollouts that are under way.")] = False,
    json_out: Json = False,
    token_file: TokenFile = None,
) -> None:
    """List every model with its rollout: state, version, share, and what it waits for.

    Examples:

        slipway rollout list --live
    """
    statuses = ask(list_statuses(ControlPlane(operator_token_file=token_file)))
    shown = [table_row(one) for one in statuses if one.state != "IDLE" or not is_live]
    if json_out:
        print_json(shown)
        return
    table = Table("model", "rollout", "version", "share", "champion", "waits for")
    for row in shown:
        table.add_row(*row.values())
    CONSOLE.print(table if shown else "no rollout; `slipway rollout start MODEL VERSION` begins one")


@app.command()
def notice_secret(model: Model, *, json_out: Json = False, token_file: TokenFile = None) -> None:
    """Print the secret by which a receiver knows that a notice of this model is ours.

    Examples:

        slipway rollout notice-secret elec2
    """
    plane = ControlPlane(operator_token_file=token_file)
    request = NoticeSecretRequest(model=model)
    answer = ask(
        plane.call("rollout", RolloutNoticesStub, lambda stub, how: stub.GetNoticeSecret(request, **how))
    )
    if json_out:
        print_json({"model": model, "secret": answer.secret})
    else:
        typer.echo(answer.secret)


def _command(method: str, model: str, *, reason: str, json_out: bool, token_file: Path | None) -> None:
    request = rollout_pb2.RolloutCommand(model=model, actor=ACTOR, reason=reason)
    plane = ControlPlane(operator_token_file=token_file)
    _show(ask(plane.rollout(lambda stub, how: getattr(stub, method)(request, **how))), json_out)


def _show(now: rollout_pb2.RolloutStatus, json_out: bool) -> None:
    if json_out:
        print_json(plain_status(now))
    else:
        CONSOLE.print(f"{now.spec.name}: {now.state}; {now.explanation}", markup=False)
