"""A model file that somebody brings: told by its content, tried or converted in a sandbox, then ONNX."""

from dataclasses import dataclass
from typing import Final

from slipway.errors import InvalidInput
from slipway.models.formats import ModelFormat, identify
from slipway.registry import digest_of
from slipway.sandbox.confinement import Limits
from slipway.sandbox.trial import run, try_model


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """A model that may be loaded here.

    Attributes:
        onnx: What will be served.
        format: What the file was.
        source_digest: SHA-256 of the file as it was brought.
        walls: What kept the network from it while it was tried.
    """

    onnx: bytes
    format: ModelFormat
    source_digest: str
    walls: str


# A person waits for this one, and scikit-learn alone takes seconds to load.
_LIMITS: Final = Limits(memory_bytes=4 * 1024**3, cpu_s=120, deadline_s=300.0)


def bring(content: bytes, spec_yaml: str, *, limits: Limits = _LIMITS) -> Brought:
    """Accept a model file under a spec. Blocks for some seconds.

    Raises:
        InvalidInput: Why it cannot be accepted, and what to do instead.
        Unavailable: No sandbox can be started now.
    """
    found = identify(content)
    if found is ModelFormat.ONNX:
        trial, onnx = try_model(content, spec_yaml, limits=limits), content
    else:
        arguments = {"spec_yaml": spec_yaml, "format": str(found)}
        trial = run("convert", content, arguments=arguments, limits=limits)
        onnx = trial.onnx
        if identify(onnx) is not ModelFormat.ONNX:
            raise InvalidInput(f"the {found} file could not be converted to ONNX")
    return Brought(onnx=onnx, format=found, source_digest=digest_of(content), walls=trial.walls)
