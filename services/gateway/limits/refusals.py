"""What a request over its limits is told."""

from typing import Protocol

from services.gateway.limits.rules import Rule
from slipway.errors import Overloaded, Unavailable


class Waited(Protocol):
    """What a request can wait for."""

    @property
    def rule(self) -> Rule:
        """Of which limit it is a part."""
        ...

    async def wait(self, amount: int, *, timeout_s: float) -> None:
        """Return when so much may be there, or the time is over."""
        ...


class LimitReached(Overloaded):
    """The caller has had what he may have."""


class LeaseShort(LimitReached):
    """This gateway has no lease to spend from; the store may have more."""

    def __init__(self, message: str, *, account: Waited, amount: int, retry_after_s: float) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.account = account
        self.amount = amount


class StoreAway(Unavailable):
    """The limit cannot be checked, and its policy is to refuse then."""
