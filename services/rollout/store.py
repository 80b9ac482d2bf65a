"""All SQL of the rollout service. Every write happens under the fence of the writer's lease."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import asyncpg

from services.rollout.candidate_sql import end_waiting, write_candidate
from services.rollout.domain.log_entry import LogEntry
from services.rollout.domain.tally import Tally
from services.rollout.domain.tally_form import from_plain, to_plain
from services.rollout.rows import Candidate, Profiles, SpecRow, candidate_of, entry_of, spec_of
from slipway import outbox
from slipway.envelope import Outgoing
from slipway.errors import Conflict, DeadlineExceeded, Unavailable
from slipway.postgres import FAILURES, Connection, Pool

_DEADLINE_S: Final = 10.0
# A transaction holds the lease row. Its process may be stopped in the middle (SIGSTOP, a frozen machine):
# then PostgreSQL ends the transaction, or no standby could take over.
_IDLE_IN_TRANSACTION: Final = "5s"


class Fenced(Conflict):
    """Another process holds the lease: this one must not write any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Who writes, as the lease row knows it."""

    holder: str
    fence: int


class Store:
    """The service's schema."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def take_lease(self, holder: str, *, lease_s: float) -> Writer | None:
        """Become the writer if nobody is; the fence grows with each new holder."""
        async with self._connection() as connection:
            fence = await connection.fetchval(
                "UPDATE lease SET holder = $1, fence = fence + 1, expires_at = now() + $2 * interval '1 s' "
                "WHERE expires_at < now() RETURNING fence",
                holder,
                lease_s,
            )
        return None if fence is None else Writer(holder=holder, fence=fence)

    async def renew_lease(self, writer: Writer, *, lease_s: float) -> None:
        """Stay the writer.

        Raises:
            Fenced: Another process took over.
        """
        async with self._connection() as connection:
            renewed = await connection.fetchval(
                "UPDATE lease SET expires_at = now() + $3 * interval '1 s' "
                "WHERE holder = $1 AND fence = $2 RETURNING fence",
                writer.holder,
                writer.fence,
                lease_s,
            )
        if renewed is None:
            raise Fenced(f"lease {writer.fence} was taken over by another process")

    async def release_lease(self, writer: Writer) -> None:
        """Let a standby take over at once."""
        async with self._connection() as connection:
            await connection.execute(
                "UPDATE lease SET expires_at = '-infinity' WHERE holder = $1 AND fence = $2",
                writer.holder,
                writer.fence,
            )

    async def read_holder(self) -> str:
        """Who holds the lease now, or held it last."""
        async with self._connection() as connection:
            return str(await connection.fetchval("SELECT holder FROM lease"))

    async def load_specs(self) -> list[SpecRow]:
        """The latest revision of every model."""
        async with self._connection() as connection:
            rows = await connection.fetch(
                "SELECT DISTINCT ON (model) * FROM model_specs ORDER BY model, revision DESC"
            )
        return [spec_of(row) for row in rows]

    async def load_spec(self, model: str, revision: int) -> SpecRow | None:
        """One revision of a model's spec."""
        async with self._connection() as connection:
            row = await connection.fetchrow(
                "SELECT * FROM model_specs WHERE model = $1 AND revision = $2", model, revision
            )
        return None if row is None else spec_of(row)

    async def load_log(self, model: str) -> list[LogEntry]:
        """The whole log of one model, oldest first."""
        async with self._connection() as connection:
            rows = await connection.fetch("SELECT * FROM rollout_log WHERE model = $1 ORDER BY seq", model)
        return [entry_of(row) for row in rows]

    async def load_events(self, model: str, *, limit: int) -> list[tuple[LogEntry, str]]:
        """The newest entries with the champion after each, newest first."""
        async with self._connection() as connection:
            rows = await connection.fetch(
                "SELECT * FROM rollout_log WHERE model = $1 ORDER BY seq DESC LIMIT $2", model, limit
            )
        return [(entry_of(row), row["champion_version"]) for row in rows]

    async def load_starters(self, model: str, version: str) -> list[str]:
        """Everybody who ever started a rollout of this version."""
        async with self._connection() as connection:
            rows = await connection.fetch(
                "SELECT DISTINCT actor FROM rollout_log "
                "WHERE model = $1 AND version = $2 AND trigger = 'start'",
                *(model, version),
            )
        return [row["actor"] for row in rows]

    async def load_rollout(self, model: str, rollout_id: str) -> list[tuple[LogEntry, str]]:
        """The entries of one rollout with the champion after each, oldest first."""
        async with self._connection() as connection:
            rows = await connection.fetch(
                "SELECT * FROM rollout_log WHERE model = $1 AND rollout_id = $2 ORDER BY seq",
                model,
                rollout_id,
            )
        return [(entry_of(row), row["champion_version"]) for row in rows]

    async def load_tally(self, model: str) -> Tally | None:
        """The counts of the model's latest rollout."""
        async with self._connection() as connection:
            counts = await connection.fetchval("SELECT counts FROM tallies WHERE model = $1", model)
        return None if counts is None else from_plain(counts)

    async def load_waiting(self, model: str) -> Candidate | None:
        """The candidate that waits for the live rollout to end."""
        async with self._connection() as connection:
            row = await connection.fetchrow(
                "SELECT * FROM candidates WHERE model = $1 AND state = 'WAITING'", model
            )
        return None if row is None else candidate_of(row)

    async def knows_candidate(self, model: str, version: str) -> bool:
        """Whether a version was announced before."""
        async with self._connection() as connection:
            return bool(
                await connection.fetchval(
                    "SELECT true FROM candidates WHERE model = $1 AND version = $2", model, version
                )
            )

    async def load_profiles(self, model: str) -> dict[str, Profiles]:
        """Profiles by version."""
        async with self._connection() as connection:
            rows = await connection.fetch(
                "SELECT version, profile, input_profile FROM profiles WHERE model = $1", model
            )
        return {r["version"]: Profiles(reference=r["profile"], input=r["input_profile"]) for r in rows}

    async def add_spec(self, writer: Writer, spec: SpecRow, *, messages: Iterable[Outgoing]) -> None:
        """Store one more revision of a spec."""
        async with self.writing(writer) as connection:
            await connection.execute(
                "INSERT INTO model_specs VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                spec.model,
                spec.revision,
                spec.tenant,
                spec.yaml,
                spec.recipe,
                spec.recipe_digest,
                spec.digest,
                spec.applied_by,
                datetime.fromtimestamp(spec.applied_at_s, UTC),
            )
            await outbox.put(connection, messages)

    async def put_messages(self, writer: Writer, messages: Iterable[Outgoing]) -> None:
        """Publish again what is stored already."""
        async with self.writing(writer) as connection:
            await outbox.put(connection, messages)

    async def put_profiles(self, writer: Writer, subject: tuple[str, str], *, profiles: Profiles) -> None:
        """Store the profiles of (model, version)."""
        async with self.writing(writer) as connection:
            await connection.execute(
                "INSERT INTO profiles VALUES ($1, $2, $3, $4) ON CONFLICT (model, version) DO NOTHING",
                *subject,
                profiles.reference,
                profiles.input,
            )

    async def put_waiting(self, writer: Writer, candidate: Candidate, *, now_s: float) -> None:
        """Let a candidate wait; an older one that waits is superseded."""
        async with self.writing(writer) as connection:
            note = f"version {candidate.subject.version} came before its turn"
            await end_waiting(connection, candidate.model, state="SUPERSEDED", note=note)
            await write_candidate(connection, candidate, state="WAITING", now_s=now_s)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """A connection to read by, with a deadline."""
        async with self._connection() as connection:
            yield connection

    @asynccontextmanager
    async def writing(self, writer: Writer) -> AsyncIterator[Connection]:
        """A transaction in which the writer's fence holds: nobody can take the lease meanwhile.

        Raises:
            Fenced: Another process holds the lease.
            Conflict: Somebody appended to the log first.
        """
        async with self._connection() as connection, connection.transaction():
            holds = await connection.fetchval(
                "SELECT set_config('idle_in_transaction_session_timeout', $3, true) FROM lease "
                "WHERE holder = $1 AND fence = $2 FOR SHARE",
                writer.holder,
                writer.fence,
                _IDLE_IN_TRANSACTION,
            )
            if not holds:
                raise Fenced(f"lease {writer.fence} was taken over by another process; nothing was written")
            yield connection

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        try:
            async with asyncio.timeout(_DEADLINE_S), self._pool.acquire() as connection:
                yield connection
        except asyncpg.UniqueViolationError as error:
            raise Conflict(f"somebody else was first: {error.detail or error}") from error
        except TimeoutError as error:
            raise DeadlineExceeded(f"PostgreSQL did not answer within {_DEADLINE_S:g} s") from error
        except FAILURES as error:
            raise Unavailable(f"PostgreSQL failed: {error!r}") from error

    connection = _connection  # for the statements of neighbouring modules


async def write_entry(connection: Connection, entry: LogEntry, *, champion_version: str) -> None:
    """Append to the log; the primary key (model, seq) is the compare-and-set."""
    await connection.execute(
        "INSERT INTO rollout_log VALUES "
        "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, "
        "$18, $19, $20, $21, $22, $23, $24)",
        entry.model,
        entry.seq,
        entry.rollout_id,
        entry.from_state,
        entry.to_state,
        entry.trigger,
        entry.subject.version,
        entry.subject.digest,
        champion_version,
        entry.step,
        entry.weight_ppm,
        entry.actor,
        entry.reason,
        entry.evidence,
        entry.epoch,
        entry.fence,
        datetime.fromtimestamp(entry.at_s, UTC),
        [rival.version for rival in entry.rivals],
        [rival.digest for rival in entry.rivals],
        entry.spec_revision,
        entry.mirror_ppm,
        entry.max_mirrored_per_s,
        entry.permission.decision_id,
        entry.permission.policy_hash,
    )


async def write_tally(connection: Connection, model: str, *, tally: Tally) -> None:
    """Replace a model's counts."""
    await connection.execute(
        "INSERT INTO tallies VALUES ($1, $2, $3) "
        "ON CONFLICT (model) DO UPDATE SET rollout_id = excluded.rollout_id, counts = excluded.counts",
        model,
        tally.rollout_id,
        to_plain(tally),
    )
