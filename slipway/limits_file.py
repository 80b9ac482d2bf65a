"""`limits.yaml`: who may ask how much, how fast, for what price; validated as a whole.

An unknown key, a missing one, or a limit that could never count anything is an error with line and key.
"""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Final, Literal, get_args

from pydantic import Field

from slipway.spec_sections import Name, Section
from slipway.yaml_problems import YamlProblems, problem_at, read_sections
from slipway.yaml_source import Path

FILE: Final = "limits.yaml"
EACH: Final = "*"
MICROS: Final = 1_000_000  # of the currency of the prices, in which costs are counted
_MOST_LIMITS: Final = 200
_NO_TOKENS: Final = (
    "no model here counts tokens: those that predict from features have none, so this would limit nothing"
)
_MOST: Final = 10**13  # what the store's scripts write without rounding

Unit = Literal["requests", "rows", "tokens", "cost"]
Kind = Literal["rate", "budget", "concurrency"]
Counts = Literal["predictions", "feedback", "jobs"]
Amount = Annotated[int, Field(ge=1, le=_MOST)]
Price = Annotated[float, Field(ge=0, le=1_000_000, strict=False)]
Money = Annotated[float, Field(ge=1 / MICROS, le=_MOST / MICROS, strict=False)]
Who = Annotated[str, Field(min_length=1, max_length=200)]


class Prices(Section):
    """What an answer costs."""

    per_request: Price = 0.0
    per_row: Price = 0.0
    per_compute_second: Price = 0.0
    per_1000_tokens: Price = 0.0

    @property
    def is_free(self) -> bool:
        """Whether nothing costs anything."""
        return not any((self.per_request, self.per_row, self.per_compute_second, self.per_1000_tokens))


class PriceTable(Prices):
    """Prices of all models, and those of single ones."""

    models: Mapping[Who, Prices] = Field(default_factory=dict, strict=False)


class Match(Section):
    """Whose requests, for which model: a name, `*` for each by itself, or left out for all together."""

    tenant: Who | None = None
    principal: Who | None = None
    model: Who | None = None


class Rate(Section):
    """So much per second or minute, and how much of it at once."""

    requests: Amount | None = None
    rows: Amount | None = None
    tokens: Amount | None = None
    per: Literal["second", "minute"]
    burst: Amount | None = None


class Budget(Section):
    """So much in a day or month of the calendar, in UTC."""

    requests: Amount | None = None
    rows: Amount | None = None
    tokens: Amount | None = None
    cost: Money | None = None
    per: Literal["day", "month"]


class Limit(Section):
    """One limit: a rate, a budget, or a cap of what runs at once."""

    name: Name
    match: Match = Match()
    counts: Counts = "predictions"
    rate: Rate | None = None
    budget: Budget | None = None
    concurrency: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    when_store_is_away: Literal["local", "refuse"] = "local"

    @property
    def kind(self) -> Kind:
        """Which of the three it is."""
        if self.rate is not None:
            return "rate"
        return "budget" if self.budget is not None else "concurrency"

    @property
    def unit(self) -> Unit:
        """What it counts; a cap counts requests."""
        section = self.rate or self.budget
        return "requests" if section is None else _units(section)[0]

    @property
    def value(self) -> int:
        """How much, in whole units; costs in millionths."""
        section = self.rate or self.budget
        if section is None:
            return self.concurrency or 0
        amount = getattr(section, self.unit)
        return round(amount * MICROS) if self.unit == "cost" else int(amount)


class LimitsFile(Section):
    """The whole file."""

    prices: PriceTable = PriceTable()
    limits: tuple[Limit, ...] = Field(default=(), strict=False, max_length=_MOST_LIMITS)


def parse(text: str, *, has_tokens: bool = False) -> LimitsFile:
    """Read a file.

    Args:
        text: Its YAML.
        has_tokens: Whether any model counts tokens; else a limit of tokens would limit nothing.
    Raises:
        InvalidInput: Every problem with its line and key.
    """
    if not text.strip():
        return LimitsFile()
    file, source = read_sections(text, LimitsFile, what=FILE)
    if found := list(_inconsistencies(file, has_tokens=has_tokens)):
        raise YamlProblems(FILE, [problem_at(source, path, what) for path, what in found])
    return file


def unknown_names(file: LimitsFile, *, models: Iterable[str], tenants: Iterable[str]) -> Iterator[str]:
    """Names in a file that nobody has: such a limit waits for somebody who may never come.

    Args:
        file: What was read.
        models: All that are known.
        tenants: All that are known.
    """
    known = {"model": sorted(models), "tenant": sorted(tenants)}
    for limit in file.limits:
        for kind, names in known.items():
            name = getattr(limit.match, kind)
            if name not in (None, EACH, *names):
                yield f"limit {limit.name!r}: no {kind} is called {name!r}{_nearest(name, names)}"
    for name in file.prices.models:
        if name not in known["model"]:
            yield f"prices: no model is called {name!r}{_nearest(name, known['model'])}"


def _nearest(name: str, names: list[str]) -> str:
    close = get_close_matches(name, names, n=1)
    return f"; is it {close[0]!r}?" if close else ""


def _inconsistencies(file: LimitsFile, *, has_tokens: bool) -> Iterator[tuple[Path, str]]:
    """What each key allows by itself, but not together with the others."""
    seen: set[str] = set()
    for at, limit in enumerate(file.limits):
        path = ("limits", at)
        if limit.name in seen:
            yield (*path, "name"), f"{limit.name!r} is listed twice"
        seen.add(limit.name)
        for key, what in _limit_inconsistencies(limit, file.prices, has_tokens=has_tokens):
            yield (*path, *key), what
    if not has_tokens:
        for tokens_at, prices in (
            ((), file.prices),
            *((("models", m), p) for m, p in file.prices.models.items()),
        ):
            if prices.per_1000_tokens:
                yield ("prices", *tokens_at, "per_1000_tokens"), _NO_TOKENS


def _limit_inconsistencies(
    limit: Limit, prices: PriceTable, *, has_tokens: bool
) -> Iterator[tuple[tuple[str, ...], str]]:
    given = [kind for kind in get_args(Kind) if getattr(limit, kind) is not None]
    if len(given) != 1:
        yield (), f"needs exactly one of {', '.join(get_args(Kind))}, not {', '.join(given) or 'none'}"
        return
    if limit.counts == "feedback" and limit.match.model is not None:
        yield ("match", "model"), "feedback names a prediction, not always a model; leave the model out"
    section = limit.rate or limit.budget
    if section is None:
        if limit.counts != "predictions":
            yield ("concurrency",), f"{limit.counts} are taken at once: none ever wait beside each other"
        if "when_store_is_away" in limit.model_fields_set:
            yield ("when_store_is_away",), "a cap is held by each gateway alone and asks no store"
        return
    units = _units(section)
    if len(units) != 1:
        yield (
            (limit.kind,),
            f"needs exactly one of {', '.join(_all_units(section))}, not {', '.join(units) or 'none'}",
        )
        return
    yield from _unit_inconsistencies(limit, prices, has_tokens=has_tokens)


def _unit_inconsistencies(
    limit: Limit, prices: PriceTable, *, has_tokens: bool
) -> Iterator[tuple[tuple[str, ...], str]]:
    place = (limit.kind, limit.unit)
    if limit.counts != "predictions" and limit.unit not in ("requests", "rows"):
        yield place, f"{limit.counts} are counted in requests and rows"
    elif limit.unit == "tokens" and not has_tokens:
        yield place, _NO_TOKENS
    elif limit.unit == "cost" and _is_free(prices, limit.match.model):
        yield place, "nothing has a price under `prices`, so this would limit nothing"


def _is_free(prices: PriceTable, model: str | None) -> bool:
    if model is not None and model != EACH:
        return prices.models.get(model, prices).is_free
    return prices.is_free and all(own.is_free for own in prices.models.values())


def _units(section: Rate | Budget) -> list[Unit]:
    return [unit for unit in _all_units(section) if getattr(section, unit) is not None]


def _all_units(section: Rate | Budget) -> list[Unit]:
    return [unit for unit in get_args(Unit) if unit in type(section).model_fields]
