"""Users and permissions are set on the controller's port, with the operator's certificate.

There a certificate is enough: no user has to exist before the first one can be made. aiokafka has no request
for passwords; the one here is as Kafka's protocol guide has it.
"""

import asyncio
import hashlib
import secrets
import ssl
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.admin import (
    CreateAclsRequest_v1,
    DeleteAclsRequest_v1,
    DescribeAclsRequest_v1,
)
from aiokafka.protocol.api import RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from slipway.errors import Unavailable
from slipway.stack.kafka_acls import Acl, Operation, Pattern, Resource

_ANY: Final = 1
_ALLOW: Final = 3
_ANY_HOST: Final = "*"
_USER: Final = "User:"
_SCRAM_SHA_512: Final = 2
# The broker's least: the passwords are 256 random bits, so that guessing them is hopeless at any count.
_ITERATIONS: Final = 4096
_SALT_BYTES: Final = 32
_CLOSE_S: Final = 5.0


class AlterUserScramCredentialsResponse(Response):  # type: ignore[misc]  # noqa: D101
    API_KEY = 51
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class AlterUserScramCredentialsRequest(RequestStruct):  # type: ignore[misc]  # noqa: D101
    FLEXIBLE_VERSION = True
    API_KEY = 51
    API_VERSION = 0
    RESPONSE_TYPE = AlterUserScramCredentialsResponse
    SCHEMA = Schema(
        (
            "deletions",
            CompactArray(("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields)),
        ),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A request of one version, whatever else the broker speaks."""

    struct: RequestStruct

    def prepare(self, _versions: Mapping[int, tuple[int, int]]) -> RequestStruct:
        """What aiokafka's connection asks of a request."""
        return self.struct


@asynccontextmanager
async def controller(host: str, port: int, *, tls: ssl.SSLContext) -> AsyncIterator[AIOKafkaConnection]:
    """A connection to the controller's port, which asks for a certificate.

    Raises:
        OSError: It is away, or refuses the certificate.
    """
    connection = AIOKafkaConnection(host, port, security_protocol="SSL", ssl_context=tls)
    try:
        await connection.connect()
        yield connection
    finally:
        await asyncio.wait({connection.close()}, timeout=_CLOSE_S)


async def set_passwords(connection: AIOKafkaConnection, passwords: Mapping[str, str]) -> None:
    """Give each user its password, whether it had one or not; sessions under way go on.

    Raises:
        Unavailable: Kafka refuses one.
    """
    upsertions: list[tuple[object, ...]] = []
    for user, password in passwords.items():
        salt = secrets.token_bytes(_SALT_BYTES)
        salted = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
        upsertions.append((user, _SCRAM_SHA_512, _ITERATIONS, salt, salted, {}))
    answer = await _ask(connection, AlterUserScramCredentialsRequest([], upsertions, {}))
    for user, code, message, _ in answer.results:
        _refuse_error(code, message, what=f"setting the password of {user}")


async def delete_user(connection: AIOKafkaConnection, user: str) -> None:
    """Take a user's password away; permissions are another matter.

    Raises:
        Unavailable: Kafka refuses, or does not know the user.
    """
    deletion: tuple[object, ...] = (user, _SCRAM_SHA_512, {})
    answer = await _ask(connection, AlterUserScramCredentialsRequest([deletion], [], {}))
    for name, code, message, _ in answer.results:
        _refuse_error(code, message, what=f"removing {name}")


async def set_acls(
    connection: AIOKafkaConnection, wanted: Collection[Acl], *, users: Collection[str]
) -> None:
    """Bring the permissions of these users to what is wanted; those of others are left alone.

    Raises:
        Unavailable: Kafka refuses a change.
    """
    present = {acl for acl in await read_acls(connection) if acl.user in users}
    if surplus := sorted(present - set(wanted)):
        answer = await _ask(connection, DeleteAclsRequest_v1([_row(acl) for acl in surplus]))
        for code, message, _ in answer.filter_responses:
            _refuse_error(code, message, what="deleting permissions")
    if missing := sorted(set(wanted) - present):
        answer = await _ask(connection, CreateAclsRequest_v1([_row(acl) for acl in missing]))
        for code, message in answer.creation_responses:
            _refuse_error(code, message, what="creating permissions")


async def read_acls(connection: AIOKafkaConnection) -> frozenset[Acl]:
    """Every permission of the kinds that Slipway makes.

    Raises:
        Unavailable: Kafka refuses to tell.
    """
    request = DescribeAclsRequest_v1(_ANY, None, _ANY, None, None, _ANY, _ANY)
    answer = await _ask(connection, request)
    _refuse_error(answer.error_code, answer.error_message, what="reading permissions")
    return frozenset(
        Acl(
            user=principal.removeprefix(_USER),
            resource=Resource(resource),
            name=name,
            operation=Operation(operation),
            pattern=Pattern(pattern),
        )
        for resource, name, pattern, acls in answer.resources
        for principal, host, operation, permission in acls
        if host == _ANY_HOST and permission == _ALLOW and resource in set(Resource)
        if operation in set(Operation) and pattern in set(Pattern)
    )


def _row(acl: Acl) -> tuple[Any, ...]:
    return (acl.resource, acl.name, acl.pattern, _USER + acl.user, _ANY_HOST, acl.operation, _ALLOW)


async def _ask(connection: AIOKafkaConnection, struct: RequestStruct) -> Any:
    try:
        return await connection.send(_Prepared(struct))
    except KafkaError as error:
        raise Unavailable(f"Kafka's controller is away: {error!r}; see `slipway logs kafka`") from error


def _refuse_error(code: int, message: str | None, *, what: str) -> None:
    if code:
        raise Unavailable(f"{what} failed: {for_code(code).__name__} {message or ''}".strip())
