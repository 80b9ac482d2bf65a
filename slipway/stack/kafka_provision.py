"""Users, passwords and permissions of the local broker, as the topic table and the secrets have them."""

import asyncio
import ssl
from collections.abc import Collection, Mapping
from typing import Final

from aiokafka.errors import KafkaError

from slipway.errors import Unavailable
from slipway.kafka_access import KafkaAccess, unparse
from slipway.stack.certificates import ca_path, certificate_path
from slipway.stack.credentials import BROKER, OPERATOR, kafka_password_file, read_secret
from slipway.stack.kafka_acls import acls_of, kafka_users
from slipway.stack.kafka_admin import controller, set_acls, set_passwords
from slipway.stack.layout import Layout
from slipway.stack.readiness import LOOPBACK

_DEADLINE_S: Final = 30.0


def kafka_url(layout: Layout, ports: Mapping[str, int], *, user: str) -> str:
    """`SLIPWAY_KAFKA_BOOTSTRAP` of a user of the local broker."""
    return unparse(
        KafkaAccess(
            servers=f"{LOOPBACK}:{ports['kafka']}",
            user=user,
            password_file=str(layout.secrets / kafka_password_file(user)),
            ca_file=str(ca_path(layout.certificates)),
        )
    )


async def provision_access(layout: Layout, *, controller_port: int, reply_topics: Collection[str]) -> None:
    """Give every user its password and its permissions; doing it twice changes nothing.

    Raises:
        Unavailable: The controller does not answer in time or refuses a change.
    """
    users = kafka_users()
    passwords = {
        user: read_secret(layout.secrets, kafka_password_file(user)) for user in (*users, BROKER, OPERATOR)
    }
    try:
        async with (
            asyncio.timeout(_DEADLINE_S),
            controller(LOOPBACK, controller_port, tls=operator_tls(layout)) as connection,
        ):
            await set_passwords(connection, passwords)
            await set_acls(connection, acls_of(reply_topics=reply_topics), users=users)
    except (KafkaError, OSError, TimeoutError) as error:
        raise Unavailable(
            f"setting Kafka's users and permissions failed: {error!r}; see `slipway logs kafka`"
        ) from error


def operator_tls(layout: Layout) -> ssl.SSLContext:
    """What opens the controller's port."""
    tls = ssl.create_default_context(cafile=ca_path(layout.certificates))
    tls.load_cert_chain(certificate_path(layout.certificates, OPERATOR))
    return tls
