"""Up to where each partition is counted: the table `positions`, written together with what is counted."""

from collections.abc import Mapping, Sequence

from slipway.postgres import Connection

Place = tuple[str, int]
"""A topic and one of its partitions."""


async def lock(connection: Connection, places: Sequence[Place]) -> dict[Place, int]:
    """Next offset to count of each partition, locked; 0 where nothing was counted."""
    rows = await connection.fetch(
        "SELECT topic, partition, next_offset FROM positions "
        "WHERE (topic, partition) IN (SELECT * FROM unnest($1::text[], $2::int[])) "
        "ORDER BY topic, partition FOR UPDATE",
        [topic for topic, _ in places],
        [partition for _, partition in places],
    )
    found = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
    return {place: found.get(place, 0) for place in places}


async def save(connection: Connection, positions: Mapping[Place, int]) -> None:
    """Move on; the offsets of a partition only grow."""
    await connection.executemany(
        "INSERT INTO positions VALUES ($1, $2, $3) "
        "ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset",
        [(*place, offset) for place, offset in sorted(positions.items())],
    )
