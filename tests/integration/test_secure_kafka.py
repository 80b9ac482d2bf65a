"""The stack's Kafka from outside and inside: who gets in, and what each user may do there."""

import asyncio
import socket
import ssl
from secrets import token_hex

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
)
from aiokafka.protocol.admin import ListGroupsRequest

from slipway.kafka_access import MECHANISM, client_options
from slipway.ports import ports
from slipway.stack.certificates import ca_path
from slipway.stack.credentials import OPERATOR
from slipway.stack.kafka_acls import acls_of, kafka_user, kafka_users
from slipway.stack.kafka_admin import controller, read_acls
from slipway.stack.kafka_guests import Guest, admit, shut_out
from slipway.stack.kafka_provision import kafka_url
from slipway.stack.layout import Layout, find_layout
from slipway.topics import BY_NAME, TOPICS

pytestmark = pytest.mark.integration

DEADLINE_S = 120  # a busy machine is slow, not broken
# The ones that matter most, the dead letters of one, and the one that outsiders write.
SAMPLE = ("routes", "model_specs", "predictions", "feedback", "candidates", "labels.dlq")


@pytest.fixture(scope="module")
def layout() -> Layout:
    return find_layout()


def options(layout: Layout, user: str) -> dict[str, object]:
    return client_options(kafka_url(layout, ports(), user=user))


async def refusal(client: AIOKafkaProducer | AIOKafkaConsumer) -> KafkaError | None:
    try:
        async with asyncio.timeout(DEADLINE_S):
            await client.start()
    except KafkaError as error:
        return error
    finally:
        await client.stop()
    return None


async def connect(layout: Layout, port: str, **way: object) -> None:
    context = ssl.create_default_context(cafile=ca_path(layout.certificates))
    given = {"security_protocol": "SASL_SSL", "sasl_mechanism": MECHANISM, "ssl_context": context, **way}
    async with asyncio.timeout(DEADLINE_S):
        connection = AIOKafkaConnection("127.0.0.1", ports()[port], request_timeout_ms=10_000, **given)
        try:
            await connection.connect()
            await connection.send(ListGroupsRequest())
        finally:
            await asyncio.wait({connection.close()}, timeout=DEADLINE_S)


async def test_a_client_without_credentials_is_refused(layout: Layout) -> None:
    for protocol in ("SSL", "PLAINTEXT"):
        with pytest.raises((OSError, KafkaError)):
            await connect(layout, "kafka", security_protocol=protocol)


@pytest.mark.parametrize("user", ["rollout", "nobody"])
async def test_a_wrong_password_or_an_unknown_user_is_refused(layout: Layout, user: str) -> None:
    with pytest.raises(KafkaError, match="Authentication failed"):
        await connect(layout, "kafka", sasl_plain_username=user, sasl_plain_password="guess")


async def test_the_controllers_port_is_closed_to_whoever_has_no_certificate(layout: Layout) -> None:
    with pytest.raises((OSError, KafkaError)):
        await connect(layout, "kafka_controller", security_protocol="SSL")


@pytest.mark.parametrize("port", ["kafka", "kafka_controller"])
def test_nothing_answers_in_the_clear(port: str) -> None:
    api_versions = bytes.fromhex("0000000a001200000000000100 00".replace(" ", ""))
    with socket.create_connection(("127.0.0.1", ports()[port]), timeout=DEADLINE_S) as it:
        it.sendall(api_versions)
        answer = it.recv(64)
    # At most a TLS alert: a Kafka answer would begin with its length.
    assert answer == b"" or answer[0] == 0x15


async def test_the_permissions_in_force_are_those_of_the_topic_table(layout: Layout) -> None:
    context = ssl.create_default_context(cafile=ca_path(layout.certificates))
    context.load_cert_chain(layout.certificates / f"{OPERATOR}.pem")
    async with controller("127.0.0.1", ports()["kafka_controller"], tls=context) as connection:
        in_force = await read_acls(connection)
    assert {acl for acl in in_force if acl.user in kafka_users()} == acls_of()


async def test_each_user_writes_what_the_table_says_and_nothing_else(layout: Layout) -> None:
    async def check(user: str) -> None:
        # Letters that nobody reads stand for what may be written; what may not be never arrives.
        allowed = next(topic for topic in TOPICS if user in parties(topic.writers) and not topic.readers)
        async with AIOKafkaProducer(**options(layout, user)) as producer:
            await producer.send_and_wait(allowed.name, b"a test of permissions")
            for name in SAMPLE:
                if user not in parties(BY_NAME[name].writers):
                    with pytest.raises(TopicAuthorizationFailedError):
                        await producer.send_and_wait(name, b"an intruder")

    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*(check(user) for user in kafka_users()))


async def test_each_user_reads_what_the_table_says_and_nothing_else(layout: Layout) -> None:
    async def check(user: str) -> None:
        async with AIOKafkaConsumer(**options(layout, user), fetch_max_wait_ms=50) as consumer:
            for name in SAMPLE:
                wanted = user in parties(BY_NAME[name].readers)
                assert await may_read(consumer, name) == wanted, f"{user} of {name}"

    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*(check(user) for user in kafka_users()))


async def may_read(consumer: AIOKafkaConsumer, name: str) -> bool:
    if name not in await consumer.topics():
        return False  # it is not even told that there is such a topic
    partition = TopicPartition(name, 0)
    consumer.assign([partition])
    try:
        while consumer.highwater(partition) is None:
            await consumer.getmany(timeout_ms=50, max_records=1)
    except TopicAuthorizationFailedError:
        return False
    return True


async def test_nobody_joins_the_group_of_another(layout: Layout) -> None:
    intruder = AIOKafkaConsumer(
        "labels", **options(layout, "retraining"), group_id="slipway.feedback", auto_offset_reset="latest"
    )
    assert isinstance(await refusal(intruder), GroupAuthorizationFailedError)


async def test_an_application_gets_in_as_itself_until_it_is_removed(layout: Layout) -> None:
    guest = Guest(name=f"test-{token_hex(4)}", writes=("feedback",), reads=("labels",))
    port = ports()["kafka_controller"]
    await admit(layout, guest, controller_port=port)
    mine = options(layout, guest.name)
    try:
        async with asyncio.timeout(DEADLINE_S):
            async with AIOKafkaConsumer(**mine, fetch_max_wait_ms=50) as consumer:
                read = [name for name in BY_NAME if await may_read(consumer, name)]
            assert read == ["labels"]
            async with AIOKafkaProducer(**mine) as producer:
                with pytest.raises(TopicAuthorizationFailedError):
                    await producer.send_and_wait("routes", b"an intruder")
    finally:
        await shut_out(layout, guest.name, controller_port=port)
    known = {name: value for name, value in mine.items() if name.startswith("sasl_plain")}
    with pytest.raises(KafkaError, match="Authentication failed"):
        await connect(layout, "kafka", **known)


def parties(names: tuple[str, ...]) -> set[str]:
    return {kafka_user(party) for party in names}
