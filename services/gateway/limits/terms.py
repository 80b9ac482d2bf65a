"""What accounts, whoever takes leases for them, and the store say to each other."""

from dataclasses import dataclass
from typing import Any, Final, Protocol

from services.gateway.domain.limit_ledger import Ledger
from services.gateway.limits.rules import Rule

LEASE_S: Final = 10.0  # how long the store keeps a lease for a gateway that says nothing


@dataclass(slots=True)
class StoreState:
    """What this gateway knows of the store that all share."""

    is_away: bool = False
    gateways: int = 1


class Due(Protocol):
    """Who takes leases."""

    def note(self, account: Any) -> None:
        """This one needs something."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is told to the store of one account, and what is asked for."""

    rule: Rule
    ledger: Ledger
    key: str
    sent_s: float
    spent: int
    held: int
    want: int  # beyond what is held
    need: int  # less than that would be of no use
    given: int  # given back: of a rate, as a budget's is told by `held`
    ends_s: float  # of the window


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the store said."""

    granted: int
    left: float  # of a budget what nobody has spent, of a rate what is in the bucket
    free: float  # what nobody has spent and no other gateway holds
