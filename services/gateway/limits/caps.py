"""How many requests run at once: each gateway counts its own."""

from dataclasses import dataclass
from typing import Final

from services.gateway.domain.limit_ledger import Ledger
from services.gateway.domain.rate_limit_fields import Standing
from services.gateway.limits.refusals import LimitReached
from services.gateway.limits.rules import Rule
from slipway.errors import SlipwayError

_SHORT_RETRY_S: Final = 0.1


@dataclass(slots=True, eq=False)
class CapAccount:
    """Requests that run at once, in this gateway."""

    rule: Rule
    ledger: Ledger

    def take(self, amount: int, *, now_s: float, wall_s: float) -> SlipwayError | None:
        """Let a request in, or say why not."""
        if self.ledger.take(amount):
            return None
        return LimitReached(
            f"limit {self.rule.name!r}: {self.rule.text} are under way already; wait for one of them to end",
            retry_after_s=_SHORT_RETRY_S,
        )

    def standing(self, now_s: float, wall_s: float) -> Standing:
        """As told to callers."""
        return Standing(policy=self.rule.policy, name=self.rule.name, left=self.ledger.left, reset_s=None)
