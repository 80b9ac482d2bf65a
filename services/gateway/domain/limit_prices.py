"""What an answer costs, in millionths of the currency of the price table."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from slipway.limits_file import MICROS, Prices, PriceTable, Unit


# Not frozen, as it is made for every request: that would triple its cost.
@dataclass(slots=True, kw_only=True)
class Used:
    """What one request used."""

    requests: int = 1
    rows: int = 0
    tokens: int = 0
    compute_s: float = 0.0
    cost: int = 0  # millionths

    def of(self, unit: Unit) -> int:
        """The amount in one unit."""
        amount: int = getattr(self, unit)
        return amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The price table, worked out for requests."""

    default: Prices
    models: Mapping[str, Prices]

    @property
    def has_any(self) -> bool:
        """Whether anything costs anything."""
        return not (self.default.is_free and all(own.is_free for own in self.models.values()))

    def micros(self, model: str, *, rows: int, tokens: int, compute_s: float) -> int:
        """What one request costs, rounded up."""
        prices = self.models.get(model, self.default)
        cost = (
            prices.per_request
            + prices.per_row * rows
            + prices.per_compute_second * compute_s
            + prices.per_1000_tokens * tokens / 1000
        )
        # Nine digits first: 0.1 x 3 must not cost a millionth more than 0.3.
        return ceil(round(cost * MICROS, 9))


def costs_of(table: PriceTable) -> Costs:
    """From the file."""
    return Costs(default=table, models=dict(table.models))
