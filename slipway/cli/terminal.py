"""What the commands about models share: their options, one way to ask, one way to answer."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import orjson
import typer
from rich.console import Console

from slipway.errors import Unavailable

T = TypeVar("T")

CONSOLE: Final = Console(highlight=False)
ERRORS: Final = Console(stderr=True, highlight=False)
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Model = Annotated[str, typer.Argument(help="The model's name, as in its spec.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; stands in the log.")]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--operator-token-file",
        help="A file with your own API key; else $SLIPWAY_OPERATOR_TOKEN, else the stack's own token.",
    ),
]


def ask(work: Coroutine[Any, Any, T]) -> T:
    """Run a call to the services.

    Raises:
        SlipwayError: A service is away or refused.
    """
    try:
        return asyncio.run(work)
    except Unavailable as error:
        raise Unavailable(f"{error}; `slipway status` shows what runs") from error


def print_json(value: object) -> None:
    """Print for programs."""
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
