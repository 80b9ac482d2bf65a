"""Kafka users of single applications: each has a password and topics of its own, to be shut out alone."""

import asyncio
import re
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiokafka.errors import KafkaError

from slipway.errors import Conflict, InvalidInput, NotFound, Unavailable
from slipway.stack.credentials import (
    BROKER,
    OPERATOR,
    kafka_password_file,
    make_secrets,
    read_secret,
)
from slipway.stack.kafka_acls import (
    CLIENT_APPLICATIONS,
    Acl,
    Operation,
    Pattern,
    Resource,
    kafka_users,
)
from slipway.stack.kafka_admin import controller, delete_user, set_acls, set_passwords
from slipway.stack.kafka_provision import operator_tls
from slipway.stack.layout import Layout
from slipway.stack.readiness import LOOPBACK
from slipway.topics import SOURCES

WRITABLE: Final = tuple(topic.name for topic in SOURCES if CLIENT_APPLICATIONS in topic.writers)
READABLE: Final = ("predictions", "labels", "drift_alarms", "rollout_events", "job_results")
"""What is news for applications; keys, routes and the services' own work are not."""
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
_DEADLINE_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """An application's user, and what it may do."""

    name: str
    writes: tuple[str, ...]
    reads: tuple[str, ...]

    @property
    def groups(self) -> str:
        """What the names of its consumer groups begin with; the dot keeps `shop` out of `shopping`."""
        return f"applications.{self.name}."

    def acls(self) -> frozenset[Acl]:
        """All that it may do.

        Raises:
            InvalidInput: A topic is not for applications.
        """
        _check(self.writes, WRITABLE, what="written by applications")
        _check(self.reads, READABLE, what="read by applications")
        given = [(name, Operation.WRITE) for name in self.writes]
        given += [(name, Operation.READ) for name in self.reads]
        topics = {Acl(user=self.name, resource=Resource.TOPIC, name=n, operation=o) for n, o in given}
        group = Acl(
            user=self.name,
            resource=Resource.GROUP,
            name=self.groups,
            operation=Operation.READ,
            pattern=Pattern.PREFIXED,
        )
        return frozenset(topics | ({group} if self.reads else set()))


def check_name(name: str) -> None:
    """An application takes no name of the stack's own.

    Raises:
        InvalidInput, Conflict: It is no name, or it is one of those.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"the name {name!r} is not of small letters, digits and dashes, a letter first")
    if name in (*kafka_users(), BROKER, OPERATOR):
        raise Conflict(f"{name} is one of the stack's own users; take another name")


async def admit(layout: Layout, guest: Guest, *, controller_port: int) -> Path:
    """Make the user, or give it these topics and no others; returns where its password is.

    Raises:
        InvalidInput, Conflict: The name or a topic cannot be had.
        Unavailable: Kafka does not answer or refuses.
    """
    check_name(guest.name)
    wanted, file = guest.acls(), kafka_password_file(guest.name)
    make_secrets(layout.secrets, names=[file])
    async with _controller(layout, controller_port) as connection:
        await set_passwords(connection, {guest.name: read_secret(layout.secrets, file)})
        await set_acls(connection, wanted, users=(guest.name,))
    return layout.secrets / file


async def shut_out(layout: Layout, name: str, *, controller_port: int) -> None:
    """Take user, permissions and password away; what it does now is refused from the next request on.

    Raises:
        NotFound: There is no such user here.
        Unavailable: Kafka does not answer or refuses.
    """
    check_name(name)
    password = layout.secrets / kafka_password_file(name)
    if not password.is_file():
        raise NotFound(f"there is no Kafka user {name}: {password} is missing")
    async with _controller(layout, controller_port) as connection:
        await set_acls(connection, (), users=(name,))
        await delete_user(connection, name)
    password.unlink()


@asynccontextmanager
async def _controller(layout: Layout, port: int) -> AsyncIterator[Any]:
    try:
        async with (
            asyncio.timeout(_DEADLINE_S),
            controller(LOOPBACK, port, tls=operator_tls(layout)) as connection,
        ):
            yield connection
    except (KafkaError, OSError, TimeoutError) as error:
        raise Unavailable(f"Kafka does not answer: {error!r}; is it up? `slipway up kafka`") from error


def _check(asked: Iterable[str], known: Collection[str], *, what: str) -> None:
    if wrong := sorted(set(asked) - set(known)):
        raise InvalidInput(f"{', '.join(wrong)}: not {what}; those are {', '.join(known)}")
