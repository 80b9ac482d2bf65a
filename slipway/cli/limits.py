"""`slipway limits show | check`: who may ask how much, and what is left of it."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.markup import escape
from rich.table import Table

from slipway import limits_file
from slipway.cli.control_plane import ControlPlane
from slipway.cli.terminal import CONSOLE, ERRORS, Json, ask, print_json
from slipway.errors import InvalidInput, SlipwayError
from slipway.identity.caller import DEFAULT_TENANT
from slipway.v1 import limits_pb2
from slipway.v1.keys_pb2 import ListKeysRequest
from slipway.v1.keys_pb2_grpc import KeyAdminStub
from slipway.v1.limits_pb2_grpc import LimitsAdminStub
from slipway.v1.rollout_pb2 import ListModelsRequest

_SERVICE: Final = "gateway_admin"
_NAMES_S: Final = 3.0
_ALL: Final = "(all)"
app = typer.Typer(help="Show limits and what is left of them; check a file of limits.", no_args_is_help=True)


@app.command(
    epilog="Examples:  slipway limits show  ·  slipway limits show --principal shop --json  ·  "
    "slipway limits show --model fraud"
)
def show(
    principal: Annotated[str, typer.Option(help="Only what this caller meets.")] = "",
    model: Annotated[str, typer.Option(help="Only what requests for this model meet.")] = "",
    tenant: Annotated[str, typer.Option(help="Only what this tenant meets.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Show each limit that somebody has met: used, left, and when it is whole again."""
    request = limits_pb2.ShowLimitsRequest(tenant=tenant, principal=principal, model=model)
    answer: limits_pb2.ShowLimitsResponse = ask(
        ControlPlane().call(_SERVICE, LimitsAdminStub, lambda stub, how: stub.ShowLimits(request, **how))
    )
    if as_json:
        print_json(
            {
                "file": {"digest": answer.file_digest, "problem": answer.file_problem},
                "store_is_away": answer.store_is_away,
                "gateways": answer.gateways,
                "limits": [_plain(limit) for limit in answer.limits],
            }
        )
        return
    CONSOLE.print(_table([_plain(limit) for limit in answer.limits]))
    if answer.file_problem:
        CONSOLE.print(f"[red]The file is not in force, the last good one is:[/] {answer.file_problem}")
    if answer.store_is_away:
        CONSOLE.print("[red]The store of leases is away: each limit goes by its own policy.[/]")


@app.command(epilog="Examples:  slipway limits check limits.yaml  ·  slipway limits check limits.yaml --json")
def check(
    file: Annotated[Path, typer.Argument(help="A file of limits, as it would lie in the access folder.")],
    *,
    as_json: Json = False,
) -> None:
    """Check a file as the gateway will; names are compared with those of the stack, where one answers."""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read {file}: {error}") from error
    parsed = limits_file.parse(text)
    limits, (warnings, why_not) = parsed.limits, _warnings(parsed)
    if as_json:
        plain = [limit.model_dump(exclude_none=True) for limit in limits]
        print_json({"limits": plain, "warnings": warnings, "names_not_compared": why_not})
        return
    typer.echo(f"{file}: {len(limits)} limits, all of which can be enforced where Redis is.")
    for warning in warnings:
        ERRORS.print(f"[yellow]warning:[/] {escape(warning)}", soft_wrap=True)
    if why_not:
        ERRORS.print(f"Models and tenants were not compared: {escape(why_not)}", soft_wrap=True)


def _warnings(file: limits_file.LimitsFile) -> tuple[list[str], str]:
    """Names that nobody has, and why they could not be compared; empty where they were."""
    try:
        models, tenants = asyncio.run(_names())
    except SlipwayError as error:
        return [], str(error)
    return list(limits_file.unknown_names(file, models=models, tenants=tenants)), ""


async def _names() -> tuple[set[str], set[str]]:
    """The models and tenants that the stack knows of."""
    plane = ControlPlane()
    listed = await plane.rollout(
        lambda stub, how: stub.ListModels(ListModelsRequest(), **how), deadline_s=_NAMES_S
    )
    keys = await plane.call(
        _SERVICE, KeyAdminStub, lambda stub, how: stub.ListKeys(ListKeysRequest(), **how), deadline_s=_NAMES_S
    )
    return set(listed.models), {DEFAULT_TENANT, *(key.tenant for key in keys.keys)}


def _plain(limit: limits_pb2.LimitStanding) -> dict[str, Any]:
    resets = limit.resets_at.ToDatetime().isoformat(timespec="seconds") + "Z"
    return {
        "name": limit.name,
        "kind": limit.kind,
        "counts": limit.counts,
        "unit": limit.unit,
        "text": limit.text,
        "bucket": {
            name: getattr(limit, name) for name in ("tenant", "principal", "model") if limit.HasField(name)
        },
        "value": limit.value,
        "used": limit.used,
        "left": limit.left,
        "resets_at": resets if limit.HasField("resets_at") else None,
        "source": limit.source,
        "overshoot_bound": limit.overshoot_bound,
        "when_store_is_away": limit.when_store_is_away or None,
    }


def _table(limits: list[dict[str, Any]]) -> Table:
    table = Table("limit", "of", "counts", "is", "used", "left", "whole again", "known by")
    for limit in limits:
        table.add_row(
            limit["name"],
            _bucket(limit["bucket"]),
            limit["counts"],
            limit["text"],
            f"{limit['used']:g}",
            f"{limit['left']:g}",
            limit["resets_at"] or "",
            limit["source"],
        )
    return table


def _bucket(names: Mapping[str, str]) -> str:
    return ", ".join(f"{kind} {name}" for kind, name in names.items()) or _ALL
