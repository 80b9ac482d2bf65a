"""Who calls, as every service knows him, however he proved it."""

from dataclasses import dataclass
from typing import Final, Literal

Method = Literal["api_key", "jwt", "mtls", "service", "operator"]

DEFAULT_TENANT: Final = "default"
APP: Final = "app"
ADMIN: Final = "admin"
SERVICE: Final = "service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whoever was recognised by a credential.

    Attributes:
        principal: His name, as it stands in records and logs.
        tenant: Whose models and records he may see.
        roles: What he carries; policies and approvals go by them.
        method: How he proved who he is.
        credential_id: Which credential it was, e.g. the public id of an API key; never a secret.
    """

    principal: str
    tenant: str
    roles: tuple[str, ...]
    method: Method
    credential_id: str = ""


STACK_OPERATOR: Final = Caller(principal="operator", tenant=DEFAULT_TENANT, roles=(ADMIN,), method="operator")
