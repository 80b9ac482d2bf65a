"""`slipway up | down | restart | status | logs | reset`: the local stack, and nothing about models."""

import dataclasses
import importlib
import time
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.markup import escape

from slipway.cli.stack_view import AscentView, StepView, certificates_line, status_table
from slipway.stack.bring_up import bring_up, choose_parts
from slipway.stack.certificates import ca_path
from slipway.stack.layout import choose_public_tls, find_layout
from slipway.stack.lock import exclusive
from slipway.stack.log_files import follow, last_lines
from slipway.stack.restart import choose_restarts
from slipway.stack.restart import restart as roll
from slipway.stack.stack import build_stack
from slipway.stack.stack_status import stack_status
from slipway.stack.take_down import delete_state, stop_parts, take_down
from slipway.stack.trust import check_trust, trust_status

_CONSOLE = Console(highlight=False)
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")]
Parts = Annotated[list[str] | None, typer.Argument(help="Parts by name; all of them when omitted.")]


def up(
    parts: Parts = None,
    tls: Annotated[
        bool | None,
        typer.Option("--tls/--no-tls", help="TLS on the gateway's public ports; the next `up` remembers."),
    ] = None,
) -> None:
    """Start the local stack and wait until every part is ready. Doing it twice changes nothing.

    Examples:

        slipway up

        slipway up kafka feedback     (these and what they need)

        SLIPWAY_PORT_GATEWAY_HTTP=8100 slipway up

        SLIPWAY_GATEWAY_WORKERS=2 slipway up     (two gateways behind the same ports)

        slipway up --tls     (clients need certificates/ca.pem from now on)
    """
    started = time.monotonic()
    if tls is not None:
        choose_public_tls(find_layout(), is_wanted=tls)
    stack = build_stack()
    check_trust(stack.layout)
    chosen = choose_parts(stack, parts or ())
    with exclusive(stack.layout, on_wait=_tell_wait), AscentView(chosen, _CONSOLE) as view:
        bring_up(stack, chosen, report=view.report)
    _CONSOLE.print(f"[green]ready[/] in {time.monotonic() - started:.1f} s; state in {stack.layout.home}")
    if stack.layout.public_tls.exists():
        authority = ca_path(stack.layout.certificates)
        _CONSOLE.print(f"the gateway speaks TLS: curl --cacert {authority} https://...", soft_wrap=True)


def down(parts: Parts = None) -> None:
    """Stop the stack: services drain first, then Kafka and PostgreSQL close cleanly. State is kept.

    Examples:

        slipway down

        slipway down gateway     (only this part; `slipway up` brings it back)
    """
    started = time.monotonic()
    stack = build_stack()
    with exclusive(stack.layout, on_wait=_tell_wait):
        if parts:
            stop_parts(stack, [stack.part(name) for name in parts], say=_say)
        else:
            take_down(stack, say=_say)
    _CONSOLE.print(f"[green]down[/] in {time.monotonic() - started:.1f} s")


def restart(
    parts: Annotated[
        list[str] | None, typer.Argument(help="Parts by name; all services when omitted.")
    ] = None,
) -> None:
    """Stop and start parts, one after the other; all services when none is named.

    There is a gateway at any moment: of several workers one restarts at a time, for a single one another
    stands in meanwhile. No request fails. Each gives its clients half a minute to connect to the others.

    Examples:

        slipway restart

        slipway restart gateway     (all its workers)

        slipway restart feedback jobs
    """
    started = time.monotonic()
    stack = build_stack()
    chosen = choose_restarts(stack, parts or ())
    with exclusive(stack.layout, on_wait=_tell_wait):
        roll(stack, chosen, report=StepView(_CONSOLE).report, say=_say)
    _CONSOLE.print(f"[green]restarted[/] in {time.monotonic() - started:.1f} s")


def status(
    model: Annotated[str | None, typer.Argument(help="A model; without one, the stack is shown.")] = None,
    json_out: Json = False,
) -> None:
    """Show the parts of the stack, or the versions and routes of one model.

    Examples:

        slipway status

        slipway status price_up

        slipway status --json
    """
    if model is not None:
        importlib.import_module("slipway.cli.models").status_model(model, json_out)
        return
    stack = build_stack()
    rows, certificates = stack_status(stack), trust_status(stack.layout)
    if json_out:
        report = {
            "parts": [dataclasses.asdict(row) for row in rows],
            "memory_bytes": sum(row.memory_bytes for row in rows),
            "certificates": [dataclasses.asdict(it) for it in certificates],
        }
        typer.echo(orjson.dumps(report, option=orjson.OPT_INDENT_2))
    else:
        _CONSOLE.print(status_table(rows))
        _CONSOLE.print(certificates_line(certificates), soft_wrap=True)
        if problem := importlib.import_module("slipway.cli.policy").problem_of_stack():
            _CONSOLE.print(f"[bold red]not in force, the last good ones stay:[/] {escape(problem)}")


def logs(
    service: Annotated[str, typer.Argument(help="A part, or `supervisord`.")],
    follow_log: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many lines from the end.")] = 50,
) -> None:
    """Show the last lines of a part's log.

    Examples:

        slipway logs gateway

        slipway logs kafka -n 200 -f
    """
    stack = build_stack()
    name = service if service == "supervisord" else stack.part(service).name
    path = stack.layout.log(name)
    for line in last_lines(path, lines):
        typer.echo(line)
    if follow_log:
        for line in follow(path):
            typer.echo(line)


def reset(yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Stop the stack and delete all its state: topics, databases, models, keys.

    Examples:

        slipway reset

        slipway reset --yes
    """
    stack = build_stack()
    if not yes:
        typer.confirm(f"Delete everything in {stack.layout.home}?", abort=True)
    with exclusive(stack.layout, on_wait=_tell_wait):
        take_down(stack, say=_say)
        delete_state(stack.layout)
    _CONSOLE.print(f"[green]empty[/]: {stack.layout.home}")


def _tell_wait(holder: str) -> None:
    _CONSOLE.print(f"[yellow]waiting[/] for another slipway command (pid {holder}) to finish with this stack")


def _say(text: str) -> None:
    _CONSOLE.print(text, soft_wrap=True)
