"""The `slipway` command: one table of commands, each loaded only when it is called."""

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import typer
from rich.console import Console

from slipway.errors import SlipwayError


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One row of the table.

    Attributes:
        target: `module:name` of a function with Typer parameters, or of a `typer.Typer` with subcommands.
        summary: The line shown by `slipway --help`.
        panel: The heading it stands under.
    """

    target: str
    summary: str
    panel: str


_STACK: Final = "The local stack"
_MODELS: Final = "Models"
_STREAMS: Final = "Streams and access"

COMMANDS: Final = {
    "init": Command(
        target="slipway.cli.init:init",
        summary="Make the keys, secrets and certificates of the local stack.",
        panel=_STACK,
    ),
    "up": Command(
        target="slipway.cli.stack:up",
        summary="Start the local stack and wait until it is ready.",
        panel=_STACK,
    ),
    "down": Command(
        target="slipway.cli.stack:down", summary="Stop the stack, or some of its parts.", panel=_STACK
    ),
    "restart": Command(
        target="slipway.cli.stack:restart",
        summary="Restart services; the gateway without a failed request.",
        panel=_STACK,
    ),
    "status": Command(
        target="slipway.cli.stack:status", summary="Show the stack, or one model.", panel=_STACK
    ),
    "logs": Command(target="slipway.cli.stack:logs", summary="Show the log of one part.", panel=_STACK),
    "reset": Command(
        target="slipway.cli.stack:reset", summary="Stop the stack and delete all its state.", panel=_STACK
    ),
    "apply": Command(target="slipway.cli.models:apply", summary="Apply a model spec.", panel=_MODELS),
    "register": Command(
        target="slipway.cli.registration:register",
        summary="Register a model file as a signed version.",
        panel=_MODELS,
    ),
    "models": Command(
        target="slipway.cli.models:app", summary="List all models, or sign a version.", panel=_MODELS
    ),
    "rollout": Command(
        target="slipway.cli.rollouts:app",
        summary="Bring a version to its users: start, watch, approve, report and more.",
        panel=_MODELS,
    ),
    "abort": Command(
        target="slipway.cli.rollouts:abort", summary="End the rollout that is under way.", panel=_MODELS
    ),
    "train": Command(target="slipway.cli.training:train", summary="Ask for a training now.", panel=_MODELS),
    "rollback": Command(
        target="slipway.cli.rollouts:rollback", summary="Return to the version before.", panel=_MODELS
    ),
    "score": Command(
        target="slipway.cli.score:score", summary="Predict every row of a file.", panel=_STREAMS
    ),
    "replay": Command(
        target="slipway.cli.replay:replay", summary="Run a labelled stream through the stack.", panel=_STREAMS
    ),
    "keys": Command(
        target="slipway.cli.keys:app", summary="Create, list, rotate and revoke API keys.", panel=_STREAMS
    ),
    "kafka-users": Command(
        target="slipway.cli.kafka_users:app",
        summary="Create and remove Kafka users of applications.",
        panel=_STREAMS,
    ),
    "limits": Command(
        target="slipway.cli.limits:app",
        summary="Show limits and what is left of them; check a file of limits.",
        panel=_STREAMS,
    ),
    "suspects": Command(
        target="slipway.cli.suspects:app",
        summary="List and clear callers who seem to copy a model.",
        panel=_STREAMS,
    ),
    "policy": Command(
        target="slipway.cli.policy:app",
        summary="Check, test, explain and show who may do what.",
        panel=_STREAMS,
    ),
}
_EPILOG: Final = "Examples:  slipway up  ·  slipway status  ·  slipway logs gateway -f  ·  slipway down"


def main() -> None:
    """Run the command line; a failure that Slipway names ends with code 1 and its message."""
    try:
        build_app(sys.argv[1:])()
    except (SlipwayError, OSError) as error:
        Console(stderr=True, highlight=False).print(
            f"[bold red]error:[/] {_plain(str(error))}", soft_wrap=True
        )
        sys.exit(1)


def build_app(arguments: Sequence[str]) -> typer.Typer:
    """The application, with the one command that the arguments name loaded and the others as names.

    Some commands import pandas and matplotlib: `slipway status` must not wait for them.
    """
    app = typer.Typer(
        name="slipway",
        help="From prototype to production, and kept good there.",
        epilog=_EPILOG,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    called = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, command in COMMANDS.items():
        _add(app, name, command, is_called=name == called)
    return app


def _root() -> None:
    """From prototype to production, and kept good there."""


def _add(app: typer.Typer, name: str, command: Command, *, is_called: bool) -> None:
    if not is_called:
        app.command(name, help=command.summary, rich_help_panel=command.panel)(_unloaded)
        return
    target = _load(name, command)
    if isinstance(target, typer.Typer):
        app.add_typer(target, name=name, help=command.summary, rich_help_panel=command.panel)
    else:
        # The function's own docstring is the full help.
        app.command(name, rich_help_panel=command.panel)(target)


def _load(name: str, command: Command) -> Any:
    module_name, _, attribute = command.target.partition(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        if error.name != module_name:
            raise
        raise SlipwayError(
            f"`slipway {name}` is not part of this build ({module_name} is missing)"
        ) from error


def _unloaded() -> None:
    raise AssertionError("the command that was called is always loaded")


def _plain(text: str) -> str:
    # Log lines hold square brackets, which rich would read as styles.
    return text.replace("[", r"\[")


if __name__ == "__main__":
    main()
