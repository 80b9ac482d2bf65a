"""Under whose name a command stands in the log."""

from typing import Any

from slipway.identity.caller import STACK_OPERATOR
from slipway.rpc import caller


def actor_of(context: Any, said: str) -> str:
    """The caller's own name; whoever holds the stack's token may say another."""
    who = caller(context)
    return said or who.principal if who == STACK_OPERATOR else who.principal
