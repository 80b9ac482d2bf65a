"""The short-lived process that reads a model file first. Started by `slipway.sandbox.trial` alone.

It confines itself before any library that parses models is loaded, does one task on the files in its
working directory, and writes `answer.json` there.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any, Final

from slipway.sandbox.confinement import Limits, confine

REQUEST: Final = "request.json"
ANSWER: Final = "answer.json"
TASKS: Final = {
    "try": "slipway.sandbox.tasks:try_onnx",
    "convert": "slipway.models.conversion:convert",
}


def main() -> None:
    """Do the task that the request names."""
    request = json.loads(Path(REQUEST).read_text())
    try:
        walls = confine(Limits(**request["limits"]))
    except OSError as error:
        _answer({"error": f"cannot keep a model from the network here: {error.strerror}"})
        sys.exit(1)
    # From here on this process is worth nothing to a hostile file.
    module_name, _, name = TASKS[request["task"]].partition(":")
    task = getattr(importlib.import_module(module_name), name)
    try:
        answer = task(Path(), request["arguments"])
    except MemoryError:
        answer = {"error": "it needs more memory than a trial may use"}
    except Exception as error:  # noqa: BLE001 - whatever a hostile file provokes is its own reason
        answer = {"error": str(error) or type(error).__name__}
    _answer({**answer, "walls": walls})


def _answer(answer: dict[str, Any]) -> None:
    Path(ANSWER).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
