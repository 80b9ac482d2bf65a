"""Creates and updates the topics of `slipway.topics`, before anybody reads them."""

import asyncio
from collections.abc import Iterable
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, KafkaError, for_code

from slipway.errors import Unavailable
from slipway.kafka_access import client_options, parse
from slipway.topics import TOPICS, Topic

_DEADLINE_S: Final = 30.0
_CREATE_TIMEOUT_MS: Final = 15_000


async def provision_topics(bootstrap: str, topics: Iterable[Topic] = TOPICS) -> None:
    """Bring the broker's topics in line with the table; topics of others are left alone.

    Raises:
        Unavailable: The broker does not answer in time or refuses a change.
    """
    wanted = tuple(topics)
    try:
        async with asyncio.timeout(_DEADLINE_S):
            admin = await _connect(bootstrap)
            try:
                await _reconcile(admin, wanted)
            finally:
                await admin.close()
    except (KafkaError, TimeoutError) as error:
        raise Unavailable(
            f"creating topics on {parse(bootstrap).servers} failed: {error!r}; see `slipway logs kafka`"
        ) from error


async def _connect(bootstrap: str) -> AIOKafkaAdminClient:
    while True:
        admin = AIOKafkaAdminClient(**client_options(bootstrap), client_id="slipway-up")
        try:
            await admin.start()
        except KafkaConnectionError:
            # The socket opens a moment before the broker is unfenced.
            await admin.close()
            await asyncio.sleep(0.2)
        else:
            return admin


async def _reconcile(admin: AIOKafkaAdminClient, wanted: tuple[Topic, ...]) -> None:
    existing = set(await admin.list_topics())
    missing = [topic for topic in wanted if topic.name not in existing]
    present = [topic for topic in wanted if topic.name in existing]
    if missing:
        response = await admin.create_topics(
            [_new(topic) for topic in missing], timeout_ms=_CREATE_TIMEOUT_MS
        )
        _check(response.topic_errors)
    if present:
        await _grow(admin, present)
        await admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic.name, configs=topic.config) for topic in present]
        )


async def _grow(admin: AIOKafkaAdminClient, present: list[Topic]) -> None:
    described = await admin.describe_topics([topic.name for topic in present])
    counts = {topic["topic"]: len(topic["partitions"]) for topic in described}
    short = {topic.name: topic.partitions for topic in present if counts[topic.name] < topic.partitions}
    if short:
        await admin.create_partitions(
            {name: NewPartitions(total_count=count) for name, count in short.items()}
        )


def _new(topic: Topic) -> NewTopic:
    return NewTopic(
        name=topic.name, num_partitions=topic.partitions, replication_factor=1, topic_configs=topic.config
    )


def _check(topic_errors: Iterable[tuple[str, int, str]]) -> None:
    for name, code, message in topic_errors:
        # TopicAlreadyExists (36): somebody else was faster, which is as good.
        if code not in {0, 36}:
            raise Unavailable(f"topic {name}: {for_code(code).__name__} {message or ''}".strip())
