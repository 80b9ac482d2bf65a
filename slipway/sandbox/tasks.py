"""What is tried with an ONNX model before anybody serves it."""

from pathlib import Path
from typing import Any, Final

from slipway import spec
from slipway.errors import InvalidInput
from slipway.models.formats import ModelFormat, identify
from slipway.models.onnx_check import check_onnx
from slipway.onnx_model import OnnxModel

MODEL: Final = "model"


def try_onnx(folder: Path, arguments: dict[str, Any]) -> dict[str, Any]:
    """Check the file, load it under its spec, answer one row.

    Raises:
        InvalidInput: What is wrong with it.
    """
    content = (folder / MODEL).read_bytes()
    if identify(content) is not ModelFormat.ONNX:
        raise InvalidInput("what is served must be ONNX")
    check_onnx(content)
    model = OnnxModel(content, spec.parse(arguments["spec_yaml"]))
    model.check(model.probe())
    return {}
