"""Tells the other services of API keys, on the compacted topic `identities`."""

import asyncio
import logging
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.records import SOURCE
from services.gateway.store import KeyState, KeyStore
from slipway import kafka
from slipway.changes import until
from slipway.envelope import Outgoing, encode
from slipway.errors import Unavailable
from slipway.topics import IDENTITIES
from slipway.v1.identities_pb2 import IdentityChanged

log = logging.getLogger(__name__)

_BATCH: Final = 500
_LOOK_AGAIN_S: Final = 1.0


class KeyNews:
    """Sends the state of each key that changed. The row says what has been told, so nothing is lost."""

    def __init__(self, bootstrap: str, store: KeyStore) -> None:
        self._bootstrap = bootstrap
        self._store = store
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Say that something changed."""
        self._news.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Tell until `stop` is set. What is not told then, another process or the next start tells."""
        await until(stop, self._tell_forever)

    async def _tell_forever(self) -> None:
        async with kafka.producer(self._bootstrap) as producer:
            while True:
                try:
                    while await self._tell(producer) == _BATCH:
                        pass
                except Unavailable as error:
                    log.warning("the other services are not told of API keys yet: %s", error)
                await self._wait()

    async def _tell(self, producer: kafka.Producer) -> int:
        async with self._store.announcing(most=_BATCH) as states:
            if states:
                await producer.publish(message_of(state) for state in states)
        return len(states)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(_LOOK_AGAIN_S):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()


def message_of(state: KeyState) -> Outgoing:
    """What others are told: all that recognises a key, and nothing that opens anything."""
    key = state.key
    message = IdentityChanged(
        key_id=key.key_id,
        principal=key.principal,
        tenant=key.tenant,
        roles=key.roles,
        mac=key.mac,
        revision=state.revision,
    )
    if key.expires_at_s is not None:
        message.expires_at.CopyFrom(_stamp(key.expires_at_s))
    if state.revoked_at is not None:
        message.revoked_at.FromDatetime(state.revoked_at)
    event_id = f"{key.key_id}/{state.revision}"
    return encode(IDENTITIES.name, message, key=key.key_id, event_id=event_id, source=SOURCE)


def _stamp(at_s: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromMicroseconds(round(at_s * 1e6))
    return stamp
