"""`slipway apply | models | rollout | rollback | abort`, and the model's part of `slipway status`."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, TypeVar

import orjson
import typer
from rich.console import Console
from rich.table import Table

from slipway import spec as model_spec
from slipway.cli.control_plane import ACTOR, ControlPlane, champion_of
from slipway.cli.model_status import read_status, render_status, to_plain
from slipway.errors import InvalidInput, Unavailable
from slipway.spec import Spec, SpecProblems
from slipway.v1 import rollout_pb2

T = TypeVar("T")

_CONSOLE: Final = Console(highlight=False)
_ERRORS: Final = Console(stderr=True, highlight=False)
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Model = Annotated[str, typer.Argument(help="The model's name, as in its spec.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; stands in the log.")]


def apply(
    file: Annotated[Path, typer.Option("--file", "-f", help="The model spec; `recipe:` is relative to it.")],
    json_out: Json = False,
) -> None:
    """Apply a model spec: check it as a whole, store it, tell every service. Twice changes nothing.

    Examples:

        slipway apply -f examples/elec2/model.yaml

        slipway apply -f model.yaml --json
    """
    yaml = _read(file)
    spec = _parse(file, yaml)
    recipe = _read(file.parent / spec.recipe) if spec.recipe else ""
    request = rollout_pb2.ApplySpecRequest(yaml=yaml, recipe=recipe, actor=ACTOR)
    answer = _run(ControlPlane().rollout(lambda stub, how: stub.ApplySpec(request, **how)))
    applied = answer.spec
    outcome = "unchanged" if not answer.changed else "created" if applied.revision == 1 else "changed"
    if json_out:
        _print_json({"model": applied.name, "outcome": outcome, "revision": applied.revision})
        return
    _CONSOLE.print(f"model [bold]{applied.name}[/] {outcome}, revision {applied.revision}")
    if applied.revision == 1:
        train = f"`slipway train {applied.name}` or " if spec.recipe else ""
        _CONSOLE.print(f"next: {train}`slipway register {applied.name} model.onnx --sample data.parquet`")


def models(json_out: Json = False) -> None:
    """List all models with what serves them.

    Examples:

        slipway models

        slipway models --json
    """
    statuses = _run(_list_statuses())
    if json_out:
        _print_json([_row(status) for status in statuses])
        return
    table = Table("model", "champion", "rollout", "promoted", "taken back")
    for status in statuses:
        row = _row(status)
        live = f"{row['state']} of {row['version']}" if row["version"] else row["state"]
        table.add_row(
            row["model"], row["champion"] or "-", live, str(row["promoted"]), str(row["rolled_back"])
        )
    _CONSOLE.print(table if statuses else "no models yet; `slipway apply -f model.yaml` creates one")


def rollout(
    model: Model,
    version: Annotated[str, typer.Argument(help="A registered version.")],
    reason: Reason = "",
    json_out: Json = False,
) -> None:
    """Roll a registered version out, for example one that was aborted before.

    Examples:

        slipway rollout elec2 7 --reason "the aborted one, with a fixed feature"
    """
    request = rollout_pb2.StartRolloutRequest(model=model, version=version, actor=ACTOR, reason=reason)
    _show(_run(ControlPlane().rollout(lambda stub, how: stub.StartRollout(request, **how))), json_out)


def rollback(model: Model, reason: Reason = "", json_out: Json = False) -> None:
    """Return to the version before, at once while it is warm. During a rollout: take that one back.

    Examples:

        slipway rollback elec2 --reason "complaints from the trading desk"
    """
    request = rollout_pb2.RolloutCommand(model=model, actor=ACTOR, reason=reason)
    _show(_run(ControlPlane().rollout(lambda stub, how: stub.Rollback(request, **how))), json_out)


def abort(model: Model, reason: Reason = "", json_out: Json = False) -> None:
    """End the rollout that is under way; the champion answers everything again. Without one: nothing.

    Examples:

        slipway abort elec2
    """
    request = rollout_pb2.RolloutCommand(model=model, actor=ACTOR, reason=reason)
    _show(_run(ControlPlane().rollout(lambda stub, how: stub.Abort(request, **how))), json_out)


def status_model(model: str, json_out: bool) -> None:
    """Show one model: spec, routes, rollout, feedback, training, and why it was or was not retrained."""
    status = _run(read_status(ControlPlane(), model))
    if json_out:
        _print_json(to_plain(status))
    else:
        _CONSOLE.print(render_status(status))


async def _list_statuses() -> list[rollout_pb2.RolloutStatus]:
    plane = ControlPlane()
    listed = await plane.rollout(lambda stub, how: stub.ListModels(rollout_pb2.ListModelsRequest(), **how))
    return [await plane.status(name, events=0) for name in listed.models]


def _row(status: rollout_pb2.RolloutStatus) -> dict[str, Any]:
    return {
        "model": status.spec.name,
        "champion": champion_of(status),
        "state": status.state,
        "version": status.version,
        "promoted": status.promoted,
        "rolled_back": status.rolled_back,
    }


def _show(status: rollout_pb2.RolloutStatus, json_out: bool) -> None:
    if json_out:
        _print_json({**_row(status), "epoch": status.routes.epoch, "explanation": status.explanation})
    else:
        _CONSOLE.print(f"{status.spec.name}: {status.state}; {status.explanation}", markup=False)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read {path}: {error}") from error


def _parse(file: Path, yaml: str) -> Spec:
    try:
        return model_spec.parse(yaml)
    except SpecProblems as error:
        for problem in error.problems:
            _ERRORS.print(
                f"{file}:{problem.line}: {problem.key}: {problem.message}", markup=False, soft_wrap=True
            )
        _fail(f"{len(error.problems)} problems in {file}; nothing was applied")
    except InvalidInput as error:
        raise InvalidInput(f"{file}: {error}") from error


def _fail(text: str) -> NoReturn:
    raise InvalidInput(text)


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except Unavailable as error:
        raise Unavailable(f"{error}; `slipway status` shows what runs") from error


def _print_json(value: object) -> None:
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
