"""`slipway models sign`: an administrator vouches for a version that nobody has signed."""

from pathlib import Path
from typing import Annotated

import typer

from slipway.cli.control_plane import ControlPlane
from slipway.cli.registration import maker_of
from slipway.cli.terminal import CONSOLE
from slipway.models.provenance import check_version, sign_version
from slipway.models.signing import read_trust
from slipway.registry import Registry


def sign(
    model: Annotated[str, typer.Argument(help="The model's name.")],
    version: Annotated[str, typer.Argument(help="The version, as `slipway status` shows it.")],
    tenant: Annotated[str, typer.Option(help="Whose model it is.")] = "default",
) -> None:
    """Sign a version that is stored in the registry now, with the stack's key.

    For versions registered before there were signatures. Whoever signs vouches for the bytes as they are:
    look at where they come from first. Needs the private key of the stack, so an administrator's account.

    Examples:

        slipway models sign cancer 7
    """
    plane = ControlPlane()
    registry = Registry(plane.environment["SLIPWAY_MLFLOW_URL"])
    found = registry.find(model, version)
    sign_version(registry, found, maker=maker_of(plane, "signed later"), tenant=tenant)
    trust = read_trust(Path(plane.environment["SLIPWAY_SECRETS_DIR"]))
    check_version(registry, found, trust=trust, digest=found.digest)
    CONSOLE.print(f"{model} version [bold]{version}[/] is signed, digest {found.digest[:12]}")
