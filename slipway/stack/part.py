"""What the stack is made of: a part is one supervised process."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

# Every process below supervisord inherits these two: they tell what is ours when a parent was killed.
HOME_MARK: Final = "SLIPWAY_STACK_HOME"
PART_MARK: Final = "SLIPWAY_STACK_PART"

Probe = Callable[[], Awaitable[bool]]
Step = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A file that must be there before a part can start, and the Debian package that brings it."""

    path: Path
    package: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One process of the stack and how it is prepared, started, probed and stopped.

    Attributes:
        ports: Port numbers by name; the first is the one shown to people.
        needs: Parts that must be ready before this one starts.
        prepare: Runs before the start, only when the part is not running.
        is_ready: One quick look; False means "not yet".
        provision: Runs when the part is ready, on every `up`; must be idempotent.
        start_attempts: How many deaths while starting make `up` give up.
        user: The OS user to run as, when it is not the caller.
        worker_of: The service that it is one process of; these share their ports with each other.
        on_demand: Started by name alone, never as a part of the whole.
    """

    name: str
    command: tuple[str, ...]
    ports: Mapping[str, int]
    is_ready: Probe
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path = Path("/")
    needs: tuple[str, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    prepare: Step | None = None
    provision: Step | None = None
    user: str | None = None
    stop_signal: str = "TERM"
    stop_wait_s: int = 20
    start_attempts: int = 1
    is_service: bool = False
    worker_of: str = ""
    on_demand: bool = False

    @property
    def port(self) -> int:
        """The port shown to people."""
        return next(iter(self.ports.values()))
