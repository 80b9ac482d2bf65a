"""`slipway keys create | list | revoke`: who may call the gateway."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import orjson
import typer
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table

from slipway import rpc
from slipway.errors import InvalidInput
from slipway.stack.environment import cli_environment
from slipway.v1.keys_pb2 import CreateKeyRequest, KeyInfo, ListKeysRequest, RevokeKeyRequest
from slipway.v1.keys_pb2_grpc import KeyAdminStub

T = TypeVar("T")

_DEADLINE_S: Final = 10.0
app = typer.Typer(help="Create, list and revoke API keys.", no_args_is_help=True)
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command(epilog="Example:  slipway keys create shop-frontend --tenant retail")
def create(
    principal: Annotated[str, typer.Argument(help="Who will use the key; stands in every record.")],
    tenant: Annotated[str, typer.Option(help="Whose models the key opens; `default` when omitted.")] = "",
    *,
    as_json: _AsJson = False,
) -> None:
    """Create a key and show it, this once."""
    request = CreateKeyRequest(principal=principal, tenant=tenant)
    answer = _call(lambda stub, how: stub.CreateKey(request, **how))
    if as_json:
        _print_json({**_plain(answer.info), "key": answer.secret})
        return
    console = Console(stderr=True, highlight=False)
    console.print(f"Key {answer.info.key_id} of {answer.info.principal}: keep it, it is not shown again.")
    typer.echo(answer.secret)


@app.command(name="list", epilog="Example:  slipway keys list --json")
def list_keys(*, as_json: _AsJson = False) -> None:
    """List all keys, revoked ones too; none of them can be read back."""
    keys = _call(lambda stub, how: stub.ListKeys(ListKeysRequest(), **how)).keys
    if as_json:
        _print_json([_plain(key) for key in keys])
        return
    table = Table("id", "principal", "tenant", "created", "revoked")
    for key in keys:
        row = _plain(key)
        table.add_row(row["id"], row["principal"], row["tenant"], row["created_at"], row["revoked_at"] or "")
    Console(highlight=False).print(table)


@app.command(epilog="Example:  slipway keys revoke 1f0c6a2b9d3e")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The part between the two underscores.")],
    *,
    as_json: _AsJson = False,
) -> None:
    """Revoke a key: every gateway refuses it within two seconds."""
    key = _call(lambda stub, how: stub.RevokeKey(RevokeKeyRequest(key_id=key_id), **how))
    if as_json:
        _print_json(_plain(key))
        return
    typer.echo(f"Key {key.key_id} of {key.principal} is revoked.")


def _call(method: Callable[[Any, dict[str, Any]], Awaitable[T]]) -> T:
    """Call the gateway's operator port.

    Raises:
        SlipwayError: It is away or refused.
    """
    environment = {**cli_environment(), **os.environ}
    token_file = Path(environment["SLIPWAY_SECRETS_DIR"]) / rpc.OPERATOR_TOKEN_FILE
    if not token_file.is_file():
        raise InvalidInput(f"there is no operator token at {token_file}; `slipway up` makes it")
    metadata = rpc.operator_metadata(token_file.read_text().strip())
    target = environment["SLIPWAY_GATEWAY_ADMIN_TARGET"]

    async def call() -> T:
        async with rpc.channel(target) as channel:
            with rpc.translating(f"the gateway at {target}; `slipway status` shows whether it runs"):
                return await method(KeyAdminStub(channel), {"metadata": metadata, "timeout": _DEADLINE_S})

    return asyncio.run(call())


def _plain(key: KeyInfo) -> dict[str, str | None]:
    return {
        "id": key.key_id,
        "principal": key.principal,
        "tenant": key.tenant,
        "created_at": _time(key.created_at),
        "revoked_at": _time(key.revoked_at) if key.HasField("revoked_at") else None,
    }


def _time(stamp: Timestamp) -> str:
    return stamp.ToDatetime().isoformat(timespec="seconds") + "Z"


def _print_json(value: object) -> None:
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
