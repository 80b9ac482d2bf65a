"""Simulated traffic: a share that grows, days that differ, units that come back."""

from dataclasses import dataclass

import numpy as np
from paths import Flags, Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Requests of many runs, shape (runs, requests)."""

    is_canary: Flags
    is_bad: Flags
    share: Numbers


def steady(rng: np.random.Generator, shape: tuple[int, int], *, champion: float, canary: float) -> Stream:
    """10 % canary and rates that stay."""
    share = np.full(shape, 0.1)
    return _stream(rng, share, champion=np.full(shape, champion), canary=np.full(shape, canary))


def ramping(rng: np.random.Generator, shape: tuple[int, int], *, factor: float = 1.0) -> Stream:
    """5, 10, 25, then 50 % canary, while the base rate swings between 5 and 35 % and ends at its worst."""
    requests = shape[1]
    share = np.repeat([0.05, 0.1, 0.25, 0.5], -(-requests // 4))[:requests]
    base = 0.2 - 0.15 * np.cos(np.linspace(0, 3 * np.pi, requests))
    rates = np.broadcast_to(base, shape)
    return _stream(rng, np.broadcast_to(share, shape), champion=rates, canary=rates * factor)


def _stream(rng: np.random.Generator, share: Numbers, *, champion: Numbers, canary: Numbers) -> Stream:
    is_canary = rng.random(share.shape) < share
    is_bad = rng.random(share.shape) < np.where(is_canary, canary, champion)
    return Stream(is_canary=is_canary, is_bad=is_bad, share=np.asarray(share))


def sticky(rng: np.random.Generator, shape: tuple[int, int], *, units: int) -> tuple[Stream, Flags]:
    """Equal arms, 10 % of the units; a tenth of the units fails in 9 of 10 requests, the others in 2 of 100.

    Also says which bad event is its unit's first.
    """
    runs, requests = shape
    unit = rng.integers(units, size=shape)
    rows = np.arange(runs)[:, None]
    is_canary = (rng.random((runs, units)) < 0.1)[rows, unit]
    rate = np.where(rng.random((runs, units)) < 0.1, 0.9, 0.02)[rows, unit]
    is_bad = rng.random(shape) < rate
    is_first = np.zeros(shape, dtype=bool)
    known = np.zeros((runs, units), dtype=bool)
    for at in range(requests):
        column = unit[:, at]
        is_first[:, at] = is_bad[:, at] & ~known[rows[:, 0], column]
        known[rows[:, 0], column] |= is_bad[:, at]
    return Stream(is_canary=is_canary, is_bad=is_bad, share=np.full(shape, 0.1)), is_first


def shadow(rng: np.random.Generator, shape: tuple[int, int], *, discordant: float, worse: float) -> Numbers:
    """1 for a pair that the candidate loses, -1 for one that it wins, 0 otherwise."""
    draw = rng.random(shape)
    loss = (discordant + worse) / 2
    return np.where(draw < loss, 1.0, np.where(draw < discordant, -1.0, 0.0))


def values(rng: np.random.Generator, shape: tuple[int, int], *, effect: float) -> tuple[Stream, Numbers]:
    """Skewed numbers (log-normal, spread as large as the mean) whose mean doubles while the share grows."""
    stream = ramping(rng, shape)
    level = np.linspace(1, 2, shape[1])
    spread = np.sqrt(np.log(2))
    noise = rng.lognormal(-(spread**2) / 2, spread, shape)
    return stream, np.asarray(noise * level * np.where(stream.is_canary, 1 + effect, 1.0))
