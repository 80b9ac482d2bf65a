"""Environment variables to frozen dataclasses; what is missing or wrong is named at once."""

import os
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from slipway.errors import InvalidInput, NotFound
from slipway.secret_text import secret_text
from slipway.secure_settings import refuse_insecure, refuse_weak
from slipway.tls import ServerTls

T = TypeVar("T")
PREFIX = "SLIPWAY_"
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


def variable_name(field_name: str) -> str:
    """The environment variable of a settings field: `grpc_port` -> `SLIPWAY_GRPC_PORT`."""
    return PREFIX + field_name.upper()


def load(settings_type: type[T], environ: Mapping[str, str] | None = None) -> T:
    """Read every field of a dataclass from the environment.

    Args:
        settings_type: A frozen dataclass whose fields are str, int, float, bool or Path.
        environ: Variables to read; the process's own when omitted.
    Raises:
        InvalidInput: Names every variable that is missing, cannot be read as its type, or would be insecure.
    """
    values, problems = {}, []
    source = os.environ if environ is None else environ
    hints = get_type_hints(settings_type)
    for field in fields(settings_type):  # type: ignore[arg-type]
        try:
            values[field.name] = _read(field, hints[field.name], source)
        except InvalidInput as error:
            problems.append(str(error))
    if problems:
        raise InvalidInput(f"{settings_type.__module__}: " + "; ".join(problems))
    refuse_insecure(values)
    return settings_type(**values)


def _read(field: Field[Any], kind: type, environ: Mapping[str, str]) -> Any:
    name = variable_name(field.name)
    text = environ.get(name)
    if text is None:
        if field.default is not MISSING:
            return field.default
        raise InvalidInput(f"{name} is not set (a {kind.__name__})")
    try:
        return _parse(text, kind)
    except ValueError as error:
        raise InvalidInput(f"{name}={text!r} is not a {kind.__name__}") from error


def _parse(text: str, kind: type) -> Any:
    if kind is bool:
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        raise ValueError(text)
    return kind(text)


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """What every service is told. Each service adds its own fields in its `settings.py`."""

    kafka_bootstrap: str
    state_dir: Path
    secrets_dir: Path
    grpc_port: int
    http_port: int
    host: str = "127.0.0.1"
    # Other processes of this kind listen on the same ports; ours open when all is ready.
    share_ports: bool = False
    # Who this process is in its consumer groups. A restart under the same name takes its place at once.
    instance: str = ""
    # issuers.yaml, limits.yaml and policies/*.cedar, edited while services run; empty: what is built in.
    access_dir: str = ""
    log_level: str = "INFO"
    # Mutual TLS of the RPCs between services: the own certificate with its key, and the authority of all.
    mesh_cert: str = ""
    mesh_ca: str = ""

    @property
    def mesh_tls(self) -> ServerTls | None:
        """How the neighbours' RPCs come in; None in the clear, which loopback alone allows."""
        return ServerTls(cert_file=self.mesh_cert, client_ca=self.mesh_ca) if self.mesh_cert else None

    @property
    def public_tls(self) -> ServerTls | None:
        """How HTTP comes in: the pages of a service are for its own machine."""
        return None

    def secret(self, name: str) -> str:
        """The text of one secret, e.g. `feedback_token.key`, from its variable or its file.

        Raises:
            InvalidInput: There is neither, or it is no secret: short, or a default.
        """
        path = self.secrets_dir / name
        try:
            text = secret_text(path)
        except NotFound as error:
            raise InvalidInput(str(error)) from error
        refuse_weak(text, place=path)
        return text
