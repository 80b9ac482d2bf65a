"""MLflow's server behind its password, for `uvicorn --factory slipway.stack.mlflow_app:build`."""

import os
from pathlib import Path
from typing import Final

from mlflow.server.fastapi_app import app

from slipway.secret_text import secret_text
from slipway.stack.mlflow_guard import Guarded

PASSWORD_FILE_VARIABLE: Final = "SLIPWAY_MLFLOW_PASSWORD_FILE"


def build() -> Guarded:
    """The application.

    Raises:
        NotFound: There is no password.
    """
    return Guarded(app, password=secret_text(Path(os.environ[PASSWORD_FILE_VARIABLE])))
