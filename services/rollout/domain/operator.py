"""Operators by name: what a name, a role and a token may look like."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Final

from slipway.errors import Denied, InvalidInput

ADMIN: Final = "admin"
TOKEN_PREFIX: Final = "slo_"
_NAME: Final = re.compile(r"[a-z][a-z0-9._@-]{0,62}")
_ROLE: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
# They stand in the log for the stack's own token and for the services themselves.
_RESERVED: Final = frozenset({"operator", "rollout", "retraining"})
_MOST_ROLES: Final = 32


def check_operator(name: str, roles: Sequence[str]) -> tuple[str, ...]:
    """The roles of a new operator, each once.

    Raises:
        InvalidInput: A name or a role that may not be.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"operator {name[:70]!r}: a letter, then up to 62 of a-z 0-9 . _ @ -")
    if name in _RESERVED:
        raise InvalidInput(f"operator {name!r}: the log uses this name already; take another")
    wrong = [role for role in roles if not _ROLE.fullmatch(role)]
    if wrong:
        raise InvalidInput(f"role {wrong[0][:70]!r}: a letter, then up to 62 of a-z 0-9 _ -")
    if not 1 <= len(set(roles)) <= _MOST_ROLES:
        raise InvalidInput(
            f"operator {name!r} needs 1 to {_MOST_ROLES} roles, as the specs' `approval` names them"
        )
    return tuple(sorted(set(roles)))


def check_is_admin(name: str, roles: Sequence[str]) -> None:
    """Refuse whoever is not an administrator.

    Raises:
        Denied: The role is missing.
    """
    if ADMIN not in roles:
        raise Denied(f"{name} has not the role {ADMIN!r}; the stack's own operator token has it")


def digest_of(token: str) -> bytes:
    """What is stored in place of a token; its 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode()).digest()


def who_could(role: str, operators: Iterable[tuple[str, Sequence[str]]]) -> str:
    """Who carries a role, in words."""
    names = sorted(name for name, roles in operators if role in roles)
    if names:
        return f"these could: {', '.join(names)}"
    return f"nobody could; `slipway operators add NAME --role {role}` makes somebody who can"
