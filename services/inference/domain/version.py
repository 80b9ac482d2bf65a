"""What is deployed: one version of one model, fixed by the digest of its bytes."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

APP_PREFIX: Final = "slipway."


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Version:
    """A version of a model and the SHA-256 of its ONNX, hex."""

    model: str
    version: str
    digest: str

    @property
    def app_name(self) -> str:
        """The Ray Serve application that serves it; another digest is another application."""
        return f"{APP_PREFIX}{self.model}.{self.version}.{self.digest[:16]}"


def replica_key(operator_token: str, version: Version) -> str:
    """What a replica of `version` shows to report and to load; good for nothing else."""
    text = "\0".join(("replica", version.model, version.version, version.digest))
    return hmac.new(operator_token.encode(), text.encode(), hashlib.sha256).hexdigest()
