"""Roles at the gates of a rollout: who has one, and who could act in his place."""

from collections.abc import Sequence

from slipway.errors import Denied
from slipway.identity.caller import ADMIN


def check_is_admin(name: str, roles: Sequence[str]) -> None:
    """Refuse whoever is not an administrator.

    Raises:
        Denied: The role is missing.
    """
    if ADMIN not in roles:
        raise Denied(f"{name} has not the role {ADMIN!r}; the stack's own operator token has it")


def who_could(role: str, names: Sequence[str]) -> str:
    """Who carries a role, in words."""
    if names:
        return f"these could: {', '.join(names)}"
    return f"nobody by a key of his own; `slipway keys create NAME --role {role}` makes somebody who can"
