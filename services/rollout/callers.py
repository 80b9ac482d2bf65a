"""Under whose name a command stands in the log."""

from typing import Any

from slipway.rpc import STACK_OPERATOR, caller


def actor_of(context: Any, said: str) -> str:
    """A named operator's name; whoever holds the stack's token may say another."""
    who = caller(context)
    return said or who.name if who == STACK_OPERATOR else who.name
