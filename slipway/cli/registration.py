"""`slipway register`: a model out of a user's own notebook becomes a version, and is rolled out."""

import asyncio
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer
from rich.console import Console

from slipway import spec as model_spec
from slipway.cli.control_plane import ACTOR, ControlPlane, champion_of
from slipway.cli.notebook_model import NotebookModel, examine, read_sample
from slipway.errors import InvalidInput
from slipway.models.formats import MAX_MODEL_BYTES
from slipway.models.intake import bring
from slipway.models.signing import PRIVATE_FILE, Maker, Signer
from slipway.registry import RegisteredVersion, Registry
from slipway.stack.credentials import read_secret
from slipway.v1 import rollout_pb2

_TALK: Final = Console(stderr=True, highlight=False)
HeldOutFile = Annotated[
    Path | None,
    typer.Option("--held-out", help="Parquet or CSV with rows it was not trained on, and their truth."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Files:
    model: Path
    sample: Path
    held_out: Path | None
    target: str  # column with the truth


def register(
    model: Annotated[str, typer.Argument(help="The model's name, as in its applied spec.")],
    file: Annotated[Path, typer.Argument(help="ONNX, skops, or a booster's own file.")],
    sample: Annotated[Path, typer.Option("--sample", help="Parquet or CSV with rows it was trained on.")],
    target: Annotated[
        str, typer.Option("--target", help="Column with the truth; else the spec's label.")
    ] = "",
    held_out: HeldOutFile = None,
    version_note: Annotated[str, typer.Option("--version-note", help="What is new about it.")] = "",
    no_rollout: Annotated[bool, typer.Option("--no-rollout", help="Only register it.")] = False,
    no_follow: Annotated[
        bool, typer.Option("--no-follow", help="Start the rollout and do not wait for its end.")
    ] = False,
    json_out: Json = False,
) -> None:
    """Check a model against its spec, register it with its profile, signed, and roll it out.

    Accepted are ONNX, and skops, XGBoost (JSON, UBJ) and LightGBM (text), which are converted to ONNX. The
    file is tried in a process without network first. Pickle and all that wraps it is refused.

    The sample gives the reference profile by which drift is judged later, and the input profile by which
    rows unlike it are known; it is scored where it has the truth. It needs a column per feature of the
    spec. Rows held out of the training, with the truth, calibrate the confidence of its answers.

    Examples:

        slipway register cancer model.skops --sample train.csv.gz --target diagnosis --no-rollout

        slipway register cancer model.onnx --sample train.parquet --held-out test.parquet

        slipway register cancer model.onnx --sample train.csv.gz --no-follow && slipway rollout watch cancer
    """
    until = "REGISTERED" if no_rollout else "STARTED" if no_follow else "SERVES"
    files = _Files(model=file, sample=sample, held_out=held_out, target=target)
    work = _register(model, files, note=version_note, until=until, json_out=json_out)
    try:
        asyncio.run(work)
    except KeyboardInterrupt:
        _TALK.print(f"not followed any more; what was started goes on: `slipway status {model}`")
        raise typer.Exit(130) from None


async def _register(model: str, files: _Files, *, note: str, until: str, json_out: bool) -> None:
    plane = ControlPlane()
    status = await plane.status(model)
    brought = await asyncio.to_thread(bring, _read_bytes(files.model), status.spec.yaml)
    _TALK.print(f"{files.model.name} is {brought.format}, tried in a process behind {brought.walls}")
    about = {
        "onnx_file": files.model.name,
        "sample_file": files.sample.name,
        "note": note,
        "registered_by": ACTOR,
    }
    examined = examine(
        model_spec.parse(status.spec.yaml),
        brought.onnx,
        sample=read_sample(files.sample),
        target=files.target,
        held_out=None if files.held_out is None else read_sample(files.held_out),
        about={**about, "file_format": str(brought.format), "file_sha256": brought.source_digest},
    )
    _TALK.print(f"{files.model.name} fits the spec; {examined.summary}")
    registered = await asyncio.to_thread(_store, plane, examined, model=model, tenant=status.spec.tenant)
    _TALK.print(f"registered as version [bold]{registered.version}[/], digest {registered.digest[:12]}")
    if until != "REGISTERED":
        await _start(plane, registered, note=note)
    state = await _follow(plane, registered) if until == "SERVES" else until
    if json_out:
        report = {"model": model, "version": registered.version, "digest": registered.digest, "state": state}
        typer.echo(orjson.dumps({**report, "metrics": examined.metrics}, option=orjson.OPT_INDENT_2).decode())
    if state != until:
        raise typer.Exit(1)


def _store(plane: ControlPlane, examined: NotebookModel, *, model: str, tenant: str) -> RegisteredVersion:
    registry = Registry(plane.environment["SLIPWAY_MLFLOW_URL"])
    return registry.register(
        model,
        examined.artifacts,
        metrics=examined.metrics,
        params=examined.params,
        tenant=tenant,
        maker=maker_of(plane, "registered"),
    )


def maker_of(plane: ControlPlane, origin: str) -> Maker:
    """Who signs at this command line, with the stack's key.

    Raises:
        NotFound: The stack has no key yet.
    """
    secret = read_secret(Path(plane.environment["SLIPWAY_SECRETS_DIR"]), PRIVATE_FILE)
    code = f"slipway {version('slipway')}"
    return Maker(signer=Signer(secret), made_by=ACTOR, origin=origin, code_version=code)


async def _start(plane: ControlPlane, registered: RegisteredVersion, *, note: str) -> None:
    request = rollout_pb2.StartRolloutRequest(
        model=registered.model,
        version=registered.version,
        digest=registered.digest,
        actor=ACTOR,
        reason=note or "registered by hand",
    )
    await plane.rollout(lambda stub, how: stub.StartRollout(request, **how))
    _TALK.print(f"its rollout has begun; `slipway rollout watch {registered.model}` follows it")


async def _follow(plane: ControlPlane, registered: RegisteredVersion) -> str:
    """Show the rollout until it ends; returns SERVES or the state it ended in."""
    with _TALK.status("starting") as view:
        last = await plane.follow(
            registered.model,
            registered.version,
            tell=lambda status: view.update(f"{status.state}: {status.explanation}"),
        )
    if champion_of(last) == registered.version:
        _TALK.print(f"[green]version {registered.version} serves[/] {registered.model}")
        return "SERVES"
    _TALK.print(f"[red]version {registered.version} does not serve[/]: {last.explanation}", soft_wrap=True)
    return _end_state(last, registered.version)


def _end_state(status: rollout_pb2.RolloutStatus, version: str) -> str:
    ends: list[Any] = [e.to_state for e in status.events if e.version == version]
    return ends[0] if ends else "SUPERSEDED"


def _read_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_MODEL_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error}") from error
