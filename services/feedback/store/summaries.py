"""The SQL behind Summarize."""

from dataclasses import dataclass
from typing import Any, Final

from slipway.postgres import Connection, Pool

_STATES: Final = (
    "SELECT state, sum(rows)::bigint FROM row_counts WHERE rows > 0 AND $1 IN ('', model) GROUP BY state"
)
_REASONS: Final = "SELECT reason, count(*) FROM quarantine WHERE $1 IN ('', model) GROUP BY reason"
# Feedback by prediction id need not say its model, so it may be for any.
_PARKED: Final = "SELECT count(*) FROM parked WHERE $1 = '' OR model IN ('', $1)"
_PREDICTIONS: Final = "SELECT coalesce(sum(predictions), 0)::bigint FROM row_counts WHERE $1 IN ('', model)"
_DOUBLES: Final = (
    "SELECT count(*) FROM prediction_doubles JOIN predictions USING (prediction_id) WHERE $1 IN ('', model)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What became of a model's feedback, as far as it is still kept."""

    rows_by_state: dict[str, int]
    quarantined_by_reason: dict[str, int]
    parked: int
    predictions: int
    prediction_doubles: int


class SummaryStore:
    """Reads summaries from one snapshot."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def summarize(self, model: str) -> Summary:
        """Count what is kept of one model; of all when `model` is empty."""
        async with self._pool.acquire() as c, c.transaction(isolation="repeatable_read", readonly=True):
            return Summary(
                rows_by_state=await _counts(c, _STATES, model),
                quarantined_by_reason=await _counts(c, _REASONS, model),
                parked=await c.fetchval(_PARKED, model),
                predictions=await c.fetchval(_PREDICTIONS, model),
                prediction_doubles=await c.fetchval(_DOUBLES, model),
            )


async def _counts(connection: Connection, query: str, model: str) -> dict[str, int]:
    rows: list[Any] = await connection.fetch(query, model)
    return {row[0]: row[1] for row in rows}
