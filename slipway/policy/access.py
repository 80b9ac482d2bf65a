"""The policies of a running service: their folder watched, the last good files kept in force."""

import logging
from pathlib import Path
from typing import Final

from slipway.policy.engine import NOT_IN_FORCE, Policies
from slipway.policy.rules import FOLDER, read_rules
from slipway.process import Process
from slipway.settings import ServiceSettings
from slipway.watched_files import WatchedFiles

log = logging.getLogger(__name__)

PATTERNS: Final = (f"{FOLDER}/*",)  # all of them, so that a misspelt ending is told


def builtin_policies() -> Policies:
    """The built-in policies alone."""
    rules = read_rules({})
    return Policies(lambda: rules)


def open_policies(process: Process, settings: ServiceSettings) -> Policies:
    """The built-in policies and those in the access folder, read again when they change.

    Raises:
        InvalidInput: They make no sense: what is configured is enforced, or the service does not start.
    """
    if not settings.access_dir:
        return builtin_policies()
    files = WatchedFiles(Path(settings.access_dir), PATTERNS, parse=read_rules)
    NOT_IN_FORCE.set_function(lambda: float(bool(files.problem)))
    process.spawn("policies", files.run)
    log.info("policies in force", extra={"policy_hash": files.current.policy_hash})
    return Policies(lambda: files.current)
