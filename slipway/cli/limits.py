"""`slipway limits show | check`: who may ask how much, and what is left of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from slipway import limits_file
from slipway.cli.control_plane import ControlPlane
from slipway.cli.terminal import CONSOLE, Json, ask, print_json
from slipway.errors import InvalidInput
from slipway.v1 import limits_pb2
from slipway.v1.limits_pb2_grpc import LimitsAdminStub

_SERVICE: Final = "gateway_admin"
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
    """Check a file as the gateway will, without a gateway."""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read {file}: {error}") from error
    limits = limits_file.parse(text).limits
    if as_json:
        print_json({"limits": [limit.model_dump(exclude_none=True) for limit in limits]})
        return
    typer.echo(f"{file}: {len(limits)} limits, all of which can be enforced where Redis is.")


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
