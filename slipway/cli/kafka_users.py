"""`slipway kafka-users create | remove`: applications that write or read Kafka themselves."""

from typing import Annotated

import typer

from slipway.cli.terminal import CONSOLE, Json, ask, print_json
from slipway.ports import ports
from slipway.stack.kafka_guests import READABLE, WRITABLE, Guest, admit, shut_out
from slipway.stack.kafka_provision import kafka_url
from slipway.stack.layout import find_layout

app = typer.Typer(help="Create and remove Kafka users of applications.", no_args_is_help=True)
_Name = Annotated[str, typer.Argument(help="Small letters, digits and dashes.")]


@app.command()
def create(
    name: _Name,
    *,
    write: Annotated[
        list[str] | None, typer.Option("--write", help=f"A topic to write: {', '.join(WRITABLE)}.")
    ] = None,
    read: Annotated[
        list[str] | None, typer.Option("--read", help=f"A topic to read: {', '.join(READABLE)}.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Create a user of the local stack's Kafka; called again, it gives the user these topics and no others.

    A topic holds the events of all tenants: let read only who may see them all.

    Examples:

        slipway kafka-users create shop --write feedback

        slipway kafka-users create warehouse --read predictions --read labels
    """
    layout, table = find_layout(), ports()
    guest = Guest(name=name, writes=tuple(write or ()), reads=tuple(read or ()))
    password = ask(admit(layout, guest, controller_port=table["kafka_controller"]))
    made = {
        "user": name,
        "password_file": str(password),
        "groups": guest.groups if guest.reads else "",
        "bootstrap": kafka_url(layout, table, user=name),
    }
    if as_json:
        print_json(made)
        return
    CONSOLE.print(f"{name}: password in {password}", soft_wrap=True)
    if guest.reads:
        CONSOLE.print(f"its consumer groups begin with {guest.groups}", soft_wrap=True)
    CONSOLE.print(f"SLIPWAY_KAFKA_BOOTSTRAP={made['bootstrap']}", soft_wrap=True)


@app.command()
def remove(name: _Name) -> None:
    """Take a user, its permissions and its password away.

    Examples:

        slipway kafka-users remove shop
    """
    ask(shut_out(find_layout(), name, controller_port=ports()["kafka_controller"]))
    CONSOLE.print(f"{name} is removed")
