"""From what was measured to the figure and the page."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import goals
from outcome import Figure, figure, not_measured

WITHIN_S: Final = 2.0
GATEWAYS: Final = "gateway, two workers"
WORKERS: Final = ("gateway", "gateway_2")
SERVICES: Final = ("feedback", "jobs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """One key's end: from the revocation to the last call that was let through, by door.

    Attributes:
        sent_s: From the moment it was sent.
        returned_s: From the moment it was confirmed; 0 where nothing was let through after that.
    """

    sent_s: dict[str, float]
    returned_s: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """Keys that were revoked while Kafka was away.

    Attributes:
        revocations: At the gateways.
        unaware: Services that still knew the last key then.
        back_s: From Kafka's start until each refused it; Kafka's own start is in it.
    """

    revocations: tuple[Revocation, ...]
    unaware: tuple[str, ...]
    back_s: dict[str, float]


def figures_of(revocations: Sequence[Revocation]) -> list[Figure]:
    """The one that is aimed at."""
    goal = goals.REVOCATION
    longest = [max(it.sent_s.values()) for it in revocations]
    if not longest:
        return [not_measured(goal.title, goal.bound)]
    measured = f"{max(longest):.2f} s, median {statistics.median(longest):.2f} s, {len(longest)} times"
    return [figure(goal, measured, is_met=max(longest) <= WITHIN_S)]


def page(revocations: Sequence[Revocation], outage: Outage | None) -> list[str]:
    """The run in Markdown."""
    lines = [
        "| door | times | from sending it: median, longest | from its confirmation: median, longest |",
        "|---|---|---|---|",
        *_rows(revocations),
    ]
    if outage is not None:
        lines += ["", "Kafka away:", "", *lines[:2], *_rows(outage.revocations), "", _told_later(outage)]
    return lines


def _rows(revocations: Sequence[Revocation]) -> list[str]:
    return [
        f"| {door} | {len(revocations)} | {_both([it.sent_s[door] for it in revocations])} | "
        f"{_both([it.returned_s[door] for it in revocations])} |"
        for door in (revocations[0].sent_s if revocations else ())
    ]


def _both(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):.2f} s, {max(seconds):.2f} s"


def _told_later(outage: Outage) -> str:
    unaware = " and ".join(outage.unaware) or "no service"
    back = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in outage.back_s.items())
    return f"Meanwhile {unaware} went on with what was known. Refused from the start of Kafka on: {back}."
