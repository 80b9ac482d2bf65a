"""Where secrets come from: a variable when one is set, else a file; never from a command line."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from slipway.errors import NotFound

VARIABLE_PREFIX: Final = "SLIPWAY_SECRET_"


def secret_variable(name: str) -> str:
    """The variable in place of a secret's file: `operator.token` -> `SLIPWAY_SECRET_OPERATOR_TOKEN`."""
    return VARIABLE_PREFIX + re.sub(r"[^A-Za-z0-9]", "_", name).upper()


def secret_text(path: Path, environ: Mapping[str, str] | None = None) -> str:
    """The text of one secret, from its variable or its file.

    Raises:
        NotFound: There is neither, or it is empty.
    """
    source = os.environ if environ is None else environ
    variable = secret_variable(path.name)
    if text := source.get(variable, "").strip():
        return text
    try:
        text = path.read_text().strip()
    except OSError as error:
        raise NotFound(
            f"cannot read the secret {path}: {error.strerror}; run `slipway init`, or set {variable}"
        ) from error
    if not text:
        raise NotFound(f"the secret {path} is missing or empty; delete it and run `slipway init`")
    return text
