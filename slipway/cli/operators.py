"""`slipway operators add | list | revoke`: who may command rollouts, under which name."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.table import Table

from slipway.cli.control_plane import ControlPlane
from slipway.cli.terminal import CONSOLE, ERRORS, Json, TokenFile, ask, print_json
from slipway.rollout_report.document import time_text
from slipway.v1.operators_pb2 import (
    AddOperatorRequest,
    ListOperatorsRequest,
    OperatorInfo,
    RevokeOperatorRequest,
)
from slipway.v1.operators_pb2_grpc import OperatorAdminStub

T = TypeVar("T")

app = typer.Typer(help="Add, list and revoke operators: who may command rollouts.", no_args_is_help=True)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Stands in the log beside all he does.")],
    *,
    role: Annotated[
        list[str], typer.Option("--role", help="As a step's `approval` names it, or `admin`; repeat it.")
    ],
    json_out: Json = False,
    token_file: TokenFile = None,
) -> None:
    """Make an operator and show his token, this once. He calls with it in $SLIPWAY_OPERATOR_TOKEN.

    Examples:

        slipway operators add anna --role owner --role risk

        SLIPWAY_OPERATOR_TOKEN=slo_... slipway rollout approve elec2
    """
    request = AddOperatorRequest(name=name, roles=role)
    answer = _call(token_file, lambda stub, how: stub.AddOperator(request, **how))
    if json_out:
        print_json({**_plain(answer.info), "token": answer.token})
        return
    roles = ", ".join(answer.info.roles)
    ERRORS.print(f"Operator {answer.info.name} ({roles}): keep the token, it is not shown again.")
    typer.echo(answer.token)


@app.command(name="list")
def list_operators(*, json_out: Json = False, token_file: TokenFile = None) -> None:
    """List all operators, revoked ones too; no token can be read back.

    Examples:

        slipway operators list
    """
    found = _call(token_file, lambda stub, how: stub.ListOperators(ListOperatorsRequest(), **how)).operators
    if json_out:
        print_json([_plain(info) for info in found])
        return
    table = Table("name", "roles", "created", "by", "revoked")
    for info in found:
        row = _plain(info)
        table.add_row(
            row["name"],
            ", ".join(row["roles"]),
            row["created_at"],
            row["created_by"],
            row["revoked_at"] or "",
        )
    CONSOLE.print(table if found else "no operators; `slipway operators add NAME --role ROLE` makes one")


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="Whose token opens nothing any more.")],
    *,
    json_out: Json = False,
    token_file: TokenFile = None,
) -> None:
    """Take an operator's token back; it opens nothing after two seconds at the most.

    Examples:

        slipway operators revoke anna
    """
    request = RevokeOperatorRequest(name=name)
    info = _call(token_file, lambda stub, how: stub.RevokeOperator(request, **how))
    if json_out:
        print_json(_plain(info))
    else:
        typer.echo(f"The token of {info.name} is revoked.")


def _call(token_file: Path | None, method: Callable[[Any, dict[str, Any]], Awaitable[T]]) -> T:
    return ask(ControlPlane(operator_token_file=token_file).call("rollout", OperatorAdminStub, method))


def _plain(info: OperatorInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "roles": list(info.roles),
        "created_at": time_text(info.created_at),
        "created_by": info.created_by,
        "revoked_at": time_text(info.revoked_at) if info.HasField("revoked_at") else None,
    }
