"""`slipway keys create | list | rotate | revoke`: who may call, as whom, and until when."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from rich.table import Table

from slipway.cli.control_plane import ControlPlane
from slipway.cli.terminal import CONSOLE, ERRORS, Json, TokenFile, ask, print_json
from slipway.errors import InvalidInput
from slipway.v1.keys_pb2 import (
    CreateKeyRequest,
    CreateKeyResponse,
    KeyInfo,
    ListKeysRequest,
    RevokeKeyRequest,
    RotateKeyRequest,
)
from slipway.v1.keys_pb2_grpc import KeyAdminStub

T = TypeVar("T")

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}
_DURATION: Final = re.compile(r"([1-9][0-9]{0,8})([smhd])")
app = typer.Typer(help="Create, list, rotate and revoke API keys.", no_args_is_help=True)
_KeyId = Annotated[str, typer.Argument(metavar="ID", help="The part between the two underscores.")]
_ExpiresIn = Annotated[str, typer.Option("--expires-in", help="E.g. 90d, 12h, 30m; without it, never.")]


@app.command()
def create(
    principal: Annotated[str, typer.Argument(help="Who will use the key; stands in every record and log.")],
    tenant: Annotated[str, typer.Option(help="Whose models the key opens; `default` when omitted.")] = "",
    *,
    role: Annotated[
        list[str] | None,
        typer.Option("--role", help="What its holder is: `app` when omitted; repeat it for several."),
    ] = None,
    expires_in: _ExpiresIn = "",
    as_json: Json = False,
    token_file: TokenFile = None,
) -> None:
    """Create a key and show it, this once.

    Examples:

        slipway keys create shop-frontend --tenant retail --expires-in 90d

        slipway keys create anna --role owner --role risk

        SLIPWAY_OPERATOR_TOKEN=slk_... slipway rollout approve elec2
    """
    ttl_s = seconds_of(expires_in) if expires_in else 0
    request = CreateKeyRequest(principal=principal, tenant=tenant, roles=role or (), ttl_s=ttl_s)
    _show_new(_call(token_file, lambda stub, how: stub.CreateKey(request, **how)), as_json=as_json)


@app.command()
def rotate(
    key_id: _KeyId,
    overlap: Annotated[
        str, typer.Option(help="How long the old key stays in force beside the new one, e.g. 24h; or 0.")
    ] = "24h",
    *,
    expires_in: Annotated[
        str, typer.Option("--expires-in", help="Of the new key; as long as the old one lasted when omitted.")
    ] = "",
    as_json: Json = False,
    token_file: TokenFile = None,
) -> None:
    """Create a key for the same caller and show it; the old one ends when the overlap does.

    Examples:

        slipway keys rotate 1f0c6a2b9d3e --overlap 24h
    """
    request = RotateKeyRequest(
        key_id=key_id,
        overlap_s=0 if overlap == "0" else seconds_of(overlap),
        ttl_s=seconds_of(expires_in) if expires_in else 0,
    )
    answer = _call(token_file, lambda stub, how: stub.RotateKey(request, **how))
    if not as_json:
        ERRORS.print(f"Key {key_id} ends in {overlap}.")
    _show_new(answer, as_json=as_json)


@app.command(name="list")
def list_keys(*, as_json: Json = False, token_file: TokenFile = None) -> None:
    """List all keys, revoked and expired ones too; none of them can be read back.

    Examples:

        slipway keys list --json
    """
    keys = _call(token_file, lambda stub, how: stub.ListKeys(ListKeysRequest(), **how)).keys
    if as_json:
        print_json([_plain(key) for key in keys])
        return
    table = Table("id", "principal", "tenant", "roles", "created", "by", "expires", "revoked")
    for key in keys:
        row = _plain(key)
        table.add_row(
            *(row["id"], row["principal"], row["tenant"], ", ".join(row["roles"])),
            *(row["created_at"], row["created_by"], row["expires_at"] or "never", row["revoked_at"] or ""),
        )
    CONSOLE.print(table if keys else "no keys; `slipway keys create NAME` makes one")


@app.command()
def revoke(key_id: _KeyId, *, as_json: Json = False, token_file: TokenFile = None) -> None:
    """Revoke a key: every service refuses it within two seconds.

    Examples:

        slipway keys revoke 1f0c6a2b9d3e
    """
    key = _call(token_file, lambda stub, how: stub.RevokeKey(RevokeKeyRequest(key_id=key_id), **how))
    if as_json:
        print_json(_plain(key))
    else:
        typer.echo(f"Key {key.key_id} of {key.principal} is revoked.")


def seconds_of(text: str) -> float:
    """A duration with its unit.

    Raises:
        InvalidInput: Not one.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise InvalidInput(f"{text[:20]!r} is not a duration such as 90d, 24h, 30m or 45s")
    return float(match[1]) * _UNITS_S[match[2]]


def _show_new(answer: CreateKeyResponse, *, as_json: bool) -> None:
    info = answer.info
    if as_json:
        print_json({**_plain(info), "key": answer.secret})
        return
    until = f" until {_time(info.expires_at)}" if info.HasField("expires_at") else ""
    ERRORS.print(
        f"Key {info.key_id} of {info.principal} ({', '.join(info.roles)}){until}: "
        "keep it, it is not shown again."
    )
    typer.echo(answer.secret)


def _call(token_file: Path | None, method: Callable[[Any, dict[str, Any]], Awaitable[T]]) -> T:
    return ask(ControlPlane(operator_token_file=token_file).call("gateway_admin", KeyAdminStub, method))


def _plain(key: KeyInfo) -> dict[str, Any]:
    return {
        "id": key.key_id,
        "principal": key.principal,
        "tenant": key.tenant,
        "roles": list(key.roles),
        "created_at": _time(key.created_at),
        "created_by": key.created_by,
        "expires_at": _time(key.expires_at) if key.HasField("expires_at") else None,
        "revoked_at": _time(key.revoked_at) if key.HasField("revoked_at") else None,
        "rotated_from": key.rotated_from,
    }


def _time(stamp: Timestamp) -> str:
    return stamp.ToDatetime().isoformat(timespec="seconds") + "Z"
