"""The three files of a report."""

import re
from pathlib import Path
from typing import Any

import orjson

from slipway.errors import InvalidInput
from slipway.rollout_report.document import document
from slipway.rollout_report.markdown import page
from slipway.rollout_report.picture import draw
from slipway.v1.rollout_pb2 import RolloutReport


def document_of(report: RolloutReport) -> dict[str, Any]:
    """What the JSON file says."""
    return document(report)


def write(report: RolloutReport, folder: Path) -> list[Path]:
    """Write Markdown, JSON and PNG; returns where they are.

    Raises:
        InvalidInput: The folder cannot be written to.
    """
    name = re.sub(
        r"[^A-Za-z0-9._-]", "_", f"rollout-{report.model}-{report.version}-{report.rollout_id[:13]}"
    )
    paths = [folder / f"{name}{suffix}" for suffix in (".md", ".json", ".png")]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths[0].write_text(page(report, picture=paths[2].name))
        paths[1].write_bytes(orjson.dumps(document(report), option=orjson.OPT_INDENT_2))
        draw(paths[2], report)
    except OSError as error:
        raise InvalidInput(f"cannot write the report to {folder}: {error}; name another with -o") from error
    return paths
