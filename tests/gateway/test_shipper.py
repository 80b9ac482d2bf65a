import asyncio
from pathlib import Path

from services.gateway.shipper import Shipper
from services.gateway.spool import Spool
from slipway.envelope import Outgoing
from slipway.errors import Unavailable


class Broker:
    """Takes everything, except while it is away."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.batches = 0
        self.is_away = False

    async def publish(self, messages: list[Outgoing], /) -> None:
        if self.is_away:
            raise Unavailable("away")
        self.keys += [m.key for m in messages]
        self.batches += 1


def spool_with(folder: Path, *keys: str) -> Spool:
    spool = Spool(folder / "segments", limit_bytes=1_000_000, segment_bytes=300)
    for key in keys:
        spool.append([Outgoing(topic="predictions", key=key, value=b"v" * 100, headers=())])
    return spool


async def ship(shipper: Shipper, broker: Broker) -> None:
    stop = asyncio.Event()
    stop.set()
    await shipper._ship(broker, stop)


async def test_ships_everything_before_it_stops(tmp_path: Path) -> None:
    broker, keys = Broker(), [str(n) for n in range(20)]
    await ship(Shipper(spool_with(tmp_path, *keys), "unused"), broker)
    assert broker.keys == keys


async def test_a_trickle_is_shipped_in_batches(tmp_path: Path) -> None:
    broker, stop = Broker(), asyncio.Event()
    spool = Spool(tmp_path / "segments", limit_bytes=1_000_000, segment_bytes=10_000)
    shipping = asyncio.ensure_future(Shipper(spool, "unused")._ship(broker, stop))
    for number in range(200):
        spool.append([Outgoing(topic="predictions", key=str(number), value=b"v", headers=())])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    stop.set()
    spool.changes.notify()
    async with asyncio.timeout(20):
        await shipping
    assert broker.keys == [str(number) for number in range(200)]
    assert broker.batches < 50


async def test_what_a_broker_did_not_take_is_shipped_later(tmp_path: Path) -> None:
    broker = Broker()
    shipper = Shipper(spool_with(tmp_path, "1", "2"), "unused")
    broker.is_away = True
    for _ in range(2):
        try:
            await ship(shipper, broker)
        except Unavailable:
            broker.is_away = False
    assert broker.keys == ["1", "2"]


async def test_stops_while_kafka_has_never_been_there(tmp_path: Path) -> None:
    stop = asyncio.Event()
    running = asyncio.ensure_future(Shipper(spool_with(tmp_path, "1"), "127.0.0.1:1").run(stop))
    await asyncio.sleep(0)
    stop.set()
    async with asyncio.timeout(20):
        await running
    assert Spool(tmp_path / "segments", limit_bytes=1_000_000, segment_bytes=300).read()[0][0].key == "1"


async def test_a_position_that_the_disk_does_not_take_ends_nothing(tmp_path: Path) -> None:
    broker, spool = Broker(), spool_with(tmp_path, "1", "2")
    (tmp_path / "segments" / "position.new").mkdir()  # where it would be written first
    await ship(Shipper(spool, "unused"), broker)
    assert broker.keys == ["1", "2"]
    assert not (tmp_path / "segments" / "position.json").exists()


async def test_kafka_owes_from_the_offer_to_the_acknowledgement(tmp_path: Path) -> None:
    asked, may_answer, stop = asyncio.Event(), asyncio.Event(), asyncio.Event()

    class Slow:
        async def publish(self, _messages: list[Outgoing], /) -> None:
            asked.set()
            await may_answer.wait()

    shipper = Shipper(spool_with(tmp_path, "1"), "unused")
    assert shipper.owed_s() == 0
    stop.set()
    shipping = asyncio.ensure_future(shipper._ship(Slow(), stop))
    async with asyncio.timeout(20):
        await asked.wait()
        while not shipper.owed_s():
            await asyncio.sleep(0)
        may_answer.set()
        await shipping
    assert shipper.owed_s() == 0
