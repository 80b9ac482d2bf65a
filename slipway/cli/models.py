"""`slipway apply | models`, and the model's part of `slipway status`."""

from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.table import Table

from slipway import spec as model_spec
from slipway.cli.control_plane import ACTOR, ControlPlane, champion_of, list_statuses
from slipway.cli.model_status import read_status, render_status, to_plain
from slipway.cli.terminal import CONSOLE, ERRORS, Json, TokenFile, ask, print_json
from slipway.cli.version_signing import sign
from slipway.errors import InvalidInput
from slipway.spec import Spec, SpecProblems
from slipway.v1 import rollout_pb2

app = typer.Typer()
app.command("sign")(sign)


def apply(
    file: Annotated[Path, typer.Option("--file", "-f", help="The model spec; `recipe:` is relative to it.")],
    json_out: Json = False,
    token_file: TokenFile = None,
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
    answer = ask(
        ControlPlane(operator_token_file=token_file).rollout(lambda stub, how: stub.ApplySpec(request, **how))
    )
    applied = answer.spec
    outcome = "unchanged" if not answer.changed else "created" if applied.revision == 1 else "changed"
    if json_out:
        print_json({"model": applied.name, "outcome": outcome, "revision": applied.revision})
        return
    CONSOLE.print(f"model [bold]{applied.name}[/] {outcome}, revision {applied.revision}")
    if applied.revision == 1:
        train = f"`slipway train {applied.name}` or " if spec.recipe else ""
        CONSOLE.print(f"next: {train}`slipway register {applied.name} model.onnx --sample data.parquet`")


@app.callback(invoke_without_command=True)
def models(context: typer.Context, json_out: Json = False) -> None:
    """List all models with what serves them; or sign one of their versions.

    Examples:

        slipway models

        slipway models --json

        slipway models sign cancer 7
    """
    if context.invoked_subcommand is not None:
        return
    statuses = ask(list_statuses(ControlPlane()))
    if json_out:
        print_json([_row(status) for status in statuses])
        return
    table = Table("model", "champion", "rollout", "promoted", "taken back")
    for status in statuses:
        row = _row(status)
        live = f"{row['state']} of {row['version']}" if row["version"] else row["state"]
        table.add_row(
            row["model"], row["champion"] or "-", live, str(row["promoted"]), str(row["rolled_back"])
        )
    CONSOLE.print(table if statuses else "no models yet; `slipway apply -f model.yaml` creates one")


def status_model(model: str, json_out: bool) -> None:
    """Show one model: spec, routes, rollout, feedback, training, and why it was or was not retrained."""
    status = ask(read_status(ControlPlane(), model))
    if json_out:
        print_json(to_plain(status))
    else:
        CONSOLE.print(render_status(status))


def _row(status: rollout_pb2.RolloutStatus) -> dict[str, Any]:
    return {
        "model": status.spec.name,
        "champion": champion_of(status),
        "state": status.state,
        "version": status.version,
        "promoted": status.promoted,
        "rolled_back": status.rolled_back,
    }


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
            ERRORS.print(
                f"{file}:{problem.line}: {problem.key}: {problem.message}", markup=False, soft_wrap=True
            )
        _fail(f"{len(error.problems)} problems in {file}; nothing was applied")
    except InvalidInput as error:
        raise InvalidInput(f"{file}: {error}") from error


def _fail(text: str) -> NoReturn:
    raise InvalidInput(text)
