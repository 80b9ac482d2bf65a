"""Where the local stack keeps everything: one directory for state, one for the cache."""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from slipway.errors import InvalidInput

REPOSITORY: Final = Path(__file__).resolve().parents[2]
DEPLOY: Final = REPOSITORY / "deploy" / "local"
HOME_VARIABLE: Final = "SLIPWAY_HOME"
CACHE_VARIABLE: Final = "SLIPWAY_CACHE"
# A unix socket's path holds 107 bytes; Ray appends up to 66 to its directory.
_LONGEST_SOCKET_DIR: Final = 107 - 66


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The stack's directories."""

    home: Path
    cache: Path

    @property
    def secrets(self) -> Path:
        """Keys, tokens and passwords: readable by the owner alone."""
        return self.home / "secrets"

    @property
    def certificates(self) -> Path:
        """The authority and the certificates of all parts; private keys are readable by the owner alone."""
        return self.home / "certificates"

    @property
    def access(self) -> Path:
        """Who may do what, and how much of it: files that operators edit."""
        return self.home / "access"

    @property
    def public_tls(self) -> Path:
        """There while the gateway's public ports speak TLS."""
        return self.home / "public_tls"

    @property
    def config(self) -> Path:
        """Generated configuration, rewritten by every `up`."""
        return self.home / "config"

    @property
    def logs(self) -> Path:
        """One rotated log per part."""
        return self.home / "logs"

    @property
    def lock(self) -> Path:
        """Held by whoever starts or stops the stack."""
        return self.home / "lock"

    @property
    def sockets(self) -> Path:
        """Unix sockets; beside the temporary files when the home's path is too long for one."""
        inside = self.home / "run"
        if len(str(inside / "ray")) <= _LONGEST_SOCKET_DIR:
            return inside
        digest = hashlib.sha256(str(self.home).encode()).hexdigest()[:8]
        return Path(tempfile.gettempdir()) / f"slipway-{os.getuid()}-{digest}"

    def data(self, part: str) -> Path:
        """What one infrastructure part keeps."""
        return self.home / part

    def service_state(self, service: str) -> Path:
        """What one service keeps on disk."""
        return self.home / "services" / service

    def log(self, part: str) -> Path:
        """The log of one part."""
        return self.logs / f"{part}.log"


def find_layout(environ: Mapping[str, str] | None = None) -> Layout:
    """The directories of this user's stack; SLIPWAY_HOME and SLIPWAY_CACHE move them."""
    source = os.environ if environ is None else environ
    home = Path(source.get(HOME_VARIABLE) or _default_home())
    cache = Path(source.get(CACHE_VARIABLE) or Path.home() / ".cache" / "slipway")
    for variable, path in ((HOME_VARIABLE, home), (CACHE_VARIABLE, cache)):
        if not path.is_absolute():
            raise InvalidInput(f"{variable}={str(path)!r} is relative; give an absolute path")
    return Layout(home=home, cache=cache)


def _default_home() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/slipway")
    return Path.home() / ".local" / "state" / "slipway"


def choose_public_tls(layout: Layout, *, is_wanted: bool) -> None:
    """Have the gateway's public ports speak TLS, or not, from its next start on."""
    if is_wanted:
        layout.home.mkdir(parents=True, exist_ok=True)
        layout.public_tls.touch()
    else:
        layout.public_tls.unlink(missing_ok=True)


def make_directories(layout: Layout) -> None:
    """Create what must exist before any part starts."""
    layout.home.mkdir(parents=True, exist_ok=True)
    # PostgreSQL runs as another user when we are root: it must be able to walk to its data.
    layout.home.chmod(0o755)
    for directory in (layout.config, layout.logs, layout.secrets, layout.sockets):
        directory.mkdir(parents=True, exist_ok=True)
    for private in (layout.secrets, layout.sockets):
        private.chmod(0o700)
