"""The other load tests that belong to the figures: each runs in its turn, by its own command."""

import subprocess
from dataclasses import dataclass
from typing import Final

from outcome import MISSED, Outcome, read
from servers import CannotRun, Server, running
from sites import ROOT, Workshop
from slipway_site import LocalStack

_WITHIN_S: Final = 3600.0
_LOAD_TESTS: Final = ROOT / "load-tests"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One of them.

    Attributes:
        name: Its folder.
        parts: Of the local stack, which it wants beside it; none where it starts a stack of its own.
    """

    name: str
    title: str
    parts: tuple[str, ...] = ()


TRIALS: Final = (
    Trial(name="cache", title="Cache hits against computing", parts=("kafka", "postgres")),
    Trial(name="overload", title="Overload", parts=("kafka", "postgres")),
    Trial(name="memory", title="Memory under load"),
    Trial(name="rollouts", title="Rollouts under load"),
)


def run(trial: Trial, workshop: Workshop, *, is_quick: bool) -> Outcome:
    """Have it measured; nothing else runs meanwhile.

    Raises:
        CannotRun: It failed, with the end of what it said.
    """
    stack, folder = LocalStack(workshop), workshop.folder / trial.name
    told = folder / "outcome.json"
    words = [str(_LOAD_TESTS / trial.name / "run"), "--json", str(told)]
    try:
        if trial.parts:
            stack.tell("up", *trial.parts)
        else:
            words += ["--home", str(workshop.home), "--port-offset", str(workshop.port_offset)]
        quick = ["--quick"] if is_quick else []
        with running([*words, *quick], environment=stack.variables, folder=folder) as server:
            _wait(server)
        return read(told)
    finally:
        stack.tell("down")


def _wait(server: Server) -> None:
    try:
        code = server.process.wait(timeout=_WITHIN_S)
    except subprocess.TimeoutExpired:
        raise CannotRun(f"not within {_WITHIN_S:.0f} s: {server.tail()}") from None
    if code not in (0, MISSED):
        raise CannotRun(f"it ended with code {code}: {server.tail()}")
