"""The rounds: every site has its turn, in another order each time, and is alone meanwhile."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from drivers import Drivers, Target
from readings import Figures
from scenarios import CONTESTANTS, SLIPWAY, Contestant, Load, Scenario
from servers import CannotRun, busy_share, cpu_seconds
from sites import SITES, Site, Workshop
from slipway_site import slipway

from slipway.errors import SlipwayError

T = TypeVar("T")

_SETTLE_S: Final = 60.0
_PAUSE_S: Final = 0.3
_WARM_UP: Final = Load(in_flight=16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long everything takes."""

    rounds: int
    seconds: float
    warm_up_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One load of one contestant in one round.

    Attributes:
        reason: Why there are no figures.
        others: Share of the processors that was busy before the turn, when nothing of it ran yet.
        beside: Parts of Slipway that ran meanwhile.
    """

    contestant: str
    load: Load
    round: int
    others: float
    figures: Figures | None = None
    reason: str = ""
    beside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Referee:
    """Runs one scenario.

    Attributes:
        say: Told of every step, for the person who waits.
    """

    scenario: Scenario
    workshop: Workshop
    drivers: Drivers
    pace: Pace
    say: Callable[[str], None]

    def play(self) -> list[Measured]:
        """All rounds."""
        taking_part = [c for c in CONTESTANTS if c.name in self.scenario.contestants]
        names = list(dict.fromkeys(contestant.site for contestant in taking_part))
        found: list[Measured] = []
        for number in range(self.pace.rounds):
            for name in _turned(names, number):
                own = _turned([c for c in taking_part if c.site == name], number)
                site = slipway(self.scenario.whole_stack) if name == SLIPWAY else SITES[name]
                found += self._turn(site, own, number=number)
        return found

    def _turn(self, site: Site, contestants: Sequence[Contestant], *, number: int) -> list[Measured]:
        others = busy_share()
        self.say(
            f"round {number + 1} of {self.pace.rounds}: {', '.join(c.title for c in contestants)} "
            f"({others:.0%} of the machine busy with other work)"
        )
        blank = Measured(contestant="", load=Load(), round=number, others=others)
        found: list[Measured] = []
        try:
            with site(self.workshop) as targets:
                for contestant in contestants:
                    warm_up = replace(blank, load=_WARM_UP)
                    self._one(contestant, targets, blank=warm_up, seconds=self.pace.warm_up_s)
                for load in self.scenario.loads:
                    it = replace(blank, load=load)
                    found += [self._one(c, targets, blank=it, seconds=self.pace.seconds) for c in contestants]
        except (CannotRun, SlipwayError, OSError) as error:
            self.say(f"  left out: {error}")
            found += [replace(blank, contestant=c.name, reason=str(error)) for c in contestants]
        return found

    def _one(
        self, contestant: Contestant, targets: Mapping[str, Target], *, blank: Measured, seconds: float
    ) -> Measured:
        target, load = targets[contestant.name], blank.load
        drive = self.drivers.grpc if contestant.protocol == "grpc" else self.drivers.http
        blank = replace(blank, contestant=contestant.name, beside=target.beside)
        before_s = cpu_seconds(target.pids)
        try:
            figures = drive(target, load, seconds=seconds)
        except CannotRun as error:
            self.say(f"  {contestant.name:20s} {load.title:24s} {error}")
            return replace(blank, reason=str(error))
        spent_ms = (cpu_seconds(target.pids) - before_s) * 1000
        figures = replace(figures, cpu_ms=spent_ms / figures.answers)
        self.say(
            f"  {contestant.name:20s} {load.title:24s} {figures.rate_per_s:8.0f}/s "
            f"{figures.p50_ms:8.2f} ms p50 {figures.p99_ms:8.2f} ms p99 "
            f"{figures.cpu_ms:7.3f} ms cpu {figures.errors:5d} errors"
        )
        _settle(target)
        return replace(blank, figures=figures)


def _settle(target: Target) -> None:
    """What one load left behind must not burden the next."""
    deadline_s = time.monotonic() + _SETTLE_S
    time.sleep(_PAUSE_S)
    while not target.settled() and time.monotonic() < deadline_s:
        time.sleep(_PAUSE_S)


def _turned(items: Sequence[T], number: int) -> list[T]:
    """Every other round backwards, and each begins with another one."""
    at = (number // 2) % len(items)
    turned = [*items[at:], *items[:at]]
    return turned[::-1] if number % 2 else turned
