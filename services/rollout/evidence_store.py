"""SQL of the evidence that lies beside the tallies; written in the transaction of the tally it belongs to."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from services.rollout.domain.finding import Finding, Standing
from services.rollout.domain.history import must_thin
from services.rollout.domain.seen_ids import Chunk, SeenIds
from services.rollout.domain.tally import Tally
from services.rollout.domain.tally_form import forgotten_filters, new_blocks, with_blocks
from services.rollout.store import Store, write_tally
from services.rollout.unsaved import Half, Held, Key, Point, Unsaved
from slipway.postgres import Connection

# Of each model; beyond them the oldest halves are given up, for both outcomes alike.
KEPT: Final = {"answer": 200_000, "label": 20_000}
MOST_HELD: Final = 200_000
_REMEMBERED_ROLLOUTS: Final = 50
_TABLES: Final = ("evidence_units", "seen_predictions", "shadow_answers", "held_labels")


async def load_evidence(store: Store, model: str, tally: Tally) -> tuple[Tally, Unsaved]:
    """What was saved beside a tally: the tally with its units, and the ids that were counted."""
    async with store.reading() as connection:
        units = await connection.fetch(
            "SELECT filter, block, bits FROM evidence_units WHERE model = $1", model
        )
        seen = await connection.fetch("SELECT number, ids FROM seen_predictions WHERE model = $1", model)
    blocks: dict[str, dict[int, bytes]] = defaultdict(dict)
    for row in units:
        blocks[row["filter"]][row["block"]] = row["bits"]
    chunks = [Chunk(number=row["number"], ids=row["ids"]) for row in seen]
    return with_blocks(tally, blocks), Unsaved(seen=SeenIds(chunks))


async def load_halves(store: Store, model: str, kind: str, keys: Sequence[Key]) -> dict[Key, Half]:
    """Those of the wanted halves that are there."""
    if not keys:
        return {}
    async with store.reading() as connection:
        rows = await connection.fetch(
            "SELECT * FROM shadow_answers JOIN unnest($3::text[], $4::int[]) AS wanted (prediction_id, row) "
            "USING (prediction_id, row) WHERE model = $1 AND kind = $2",
            model,
            kind,
            [prediction_id for prediction_id, _ in keys],
            [row for _, row in keys],
        )
    halves = [_half(row) for row in rows]
    return {half.key: half for half in halves}


async def load_due(store: Store, model: str, *, now_s: float, limit: int) -> list[Held]:
    """Held labels whose time has come, the oldest first."""
    async with store.reading() as connection:
        rows = await connection.fetch(
            "SELECT seq, due_at, learned FROM held_labels WHERE model = $1 AND due_at <= $2 "
            "ORDER BY due_at, seq LIMIT $3",
            model,
            now_s,
            limit,
        )
    return [Held(seq=row["seq"], due_at_s=row["due_at"], learned=row["learned"]) for row in rows]


async def load_points(store: Store, model: str, rollout_id: str) -> list[Point]:
    """The findings of a rollout, oldest first."""
    async with store.reading() as connection:
        rows = await connection.fetch(
            "SELECT * FROM evidence_points WHERE model = $1 AND rollout_id = $2 ORDER BY number",
            model,
            rollout_id,
        )
    return [
        Point(
            number=row["number"],
            at_s=row["at"].timestamp(),
            step=row["step"],
            weight_ppm=row["weight_ppm"],
            findings=tuple(_finding(plain) for plain in row["findings"]),
        )
        for row in rows
    ]


async def write_evidence(
    connection: Connection, model: str, *, before: Tally, after: Tally, unsaved: Unsaved
) -> None:
    """Replace a model's counts, and write what changed beside them.

    Args:
        connection: In the writer's transaction.
        model: Its name.
        before: As it was saved last.
        after: As it is.
        unsaved: What else has come.
    """
    await write_tally(connection, model, tally=after)
    if before.rollout_id != after.rollout_id:
        await clear_evidence(connection, model)
        unsaved.reset()
        before = Tally()
    await _write_units(connection, model, before=before, after=after)
    if chunks := unsaved.seen.changed():
        await connection.executemany(
            "INSERT INTO seen_predictions VALUES ($1, $2, $3, $4) "
            "ON CONFLICT (model, slot) DO UPDATE SET number = excluded.number, ids = excluded.ids",
            [(model, chunk.slot, chunk.number, chunk.ids) for chunk in chunks],
        )
    await _write_halves(connection, model, unsaved)
    await _write_held(connection, model, unsaved)


async def write_point(connection: Connection, model: str, *, tally: Tally, point: Point) -> None:
    """Keep the findings of a moment; every second older one goes where there are too many.

    Args:
        connection: In the writer's transaction.
        model: Its name.
        tally: Before the point was added to its history.
        point: The findings.
    """
    if must_thin(tally.history):
        await connection.execute(
            "DELETE FROM evidence_points WHERE model = $1 AND rollout_id = $2 AND number IN ("
            "SELECT number FROM (SELECT number, row_number() OVER (ORDER BY number) AS nth "
            "FROM evidence_points WHERE model = $1 AND rollout_id = $2) AS numbered WHERE nth % 2 = 0)",
            model,
            tally.rollout_id,
        )
    await connection.execute(
        "INSERT INTO evidence_points VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        model,
        tally.rollout_id,
        point.number,
        datetime.fromtimestamp(point.at_s, UTC),
        point.step,
        point.weight_ppm,
        [asdict(finding) for finding in point.findings],
    )


async def clear_evidence(connection: Connection, model: str) -> None:
    """Forget what belongs to a rollout that is over; its points stay, those of the newest rollouts."""
    for table in _TABLES:
        await connection.execute(f"DELETE FROM {table} WHERE model = $1", model)  # noqa: S608 - own names
    await connection.execute(
        "DELETE FROM evidence_points WHERE model = $1 AND rollout_id NOT IN ("
        "SELECT rollout_id FROM rollout_log WHERE model = $1 GROUP BY rollout_id "
        "ORDER BY max(seq) DESC LIMIT $2)",
        model,
        _REMEMBERED_ROLLOUTS,
    )


async def _write_units(connection: Connection, model: str, *, before: Tally, after: Tally) -> None:
    for name in forgotten_filters(before, after):
        await connection.execute("DELETE FROM evidence_units WHERE model = $1 AND filter = $2", model, name)
    if blocks := [(model, *block) for block in new_blocks(before, after)]:
        await connection.executemany(
            "INSERT INTO evidence_units VALUES ($1, $2, $3, $4) "
            "ON CONFLICT (model, filter, block) DO UPDATE SET bits = excluded.bits",
            blocks,
        )


async def _write_halves(connection: Connection, model: str, unsaved: Unsaved) -> None:
    if unsaved.halves:
        await connection.executemany(
            "INSERT INTO shadow_answers VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
            [(model, h.kind, *h.key, h.seq, h.said, h.is_champion_right, h.unit) for h in unsaved.halves],
        )
        for kind, kept in KEPT.items():
            await connection.execute(
                "DELETE FROM shadow_answers WHERE model = $1 AND kind = $2 AND seq <= $3",
                model,
                kind,
                unsaved.newest_of(kind) - kept,
            )
    if unsaved.taken:
        await connection.executemany(
            "DELETE FROM shadow_answers WHERE model = $1 AND kind = $2 AND prediction_id = $3 AND row = $4",
            [(model, kind, *key) for kind, key in unsaved.taken],
        )


async def _write_held(connection: Connection, model: str, unsaved: Unsaved) -> None:
    if unsaved.held:
        await connection.executemany(
            "INSERT INTO held_labels VALUES ($1, $2, $3, $4)",
            [(model, held.seq, held.due_at_s, held.learned) for held in unsaved.held],
        )
    if unsaved.released:
        await connection.execute(
            "DELETE FROM held_labels WHERE model = $1 AND seq = ANY($2::bigint[])", model, unsaved.released
        )


def _half(row: Any) -> Half:
    return Half(
        kind=row["kind"],
        key=(row["prediction_id"], row["row"]),
        seq=row["seq"],
        said=row["said"],
        is_champion_right=row["is_champion_right"],
        unit=row["unit"],
    )


def _finding(plain: dict[str, Any]) -> Finding:
    return Finding(**{**plain, "standing": Standing(plain["standing"])})
