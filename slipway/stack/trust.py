"""What `slipway init` makes: the secrets, the authority and the certificates of the local stack."""

import datetime
from dataclasses import dataclass
from typing import Final

from slipway.stack.certificates import (
    CertificateStatus,
    certificate_statuses,
    check_certificates,
    make_certificates,
)
from slipway.stack.credentials import (
    BROKER,
    OPERATOR,
    SHARED,
    kafka_password_file,
    make_secrets,
    password_file,
    publish_signing_key,
)
from slipway.stack.environment import SERVICES
from slipway.stack.kafka_acls import kafka_users
from slipway.stack.layout import Layout
from slipway.stack.postgres_server import ADMIN
from slipway.stack.role_provision import ROLES
from slipway.tls import REPLICA

CERTIFIED: Final = (*SERVICES, REPLICA, BROKER, OPERATOR)
SECRETS: Final = (
    *SHARED,
    *(password_file(role) for role in (ADMIN, *ROLES)),
    *(kafka_password_file(user) for user in (*kafka_users(), BROKER, OPERATOR)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What was not there before."""

    secrets: tuple[str, ...]
    certificates: tuple[str, ...]


def initialise(layout: Layout, *, renew: bool = False) -> Made:
    """Make every secret and certificate that is missing; what exists stays, unless certificates are renewed.

    Raises:
        InvalidInput: The authority on disk is past its end or cannot be read.
    """
    made = tuple(make_secrets(layout.secrets, names=SECRETS))
    publish_signing_key(layout.secrets)
    return Made(
        secrets=made,
        certificates=tuple(make_certificates(layout.certificates, names=CERTIFIED, now=_now(), renew=renew)),
    )


def check_trust(layout: Layout) -> None:
    """No part would start with a certificate that nobody accepts.

    Raises:
        InvalidInput: Names the certificate and what to do.
    """
    check_certificates(layout.certificates, names=CERTIFIED, now=_now())


def trust_status(layout: Layout) -> list[CertificateStatus]:
    """When each certificate ends."""
    return certificate_statuses(layout.certificates, names=CERTIFIED, now=_now())


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
