"""GET /statusz: how the records stand, for people and their alerts."""

from typing import Any, Final

from fastapi import FastAPI

from services.gateway.gaps import Gaps
from services.gateway.recording import Debtor
from services.gateway.spool import Spool

_AWAY_S: Final = 5.0  # an acknowledgement takes milliseconds


def add_record_status(app: FastAPI, spool: Spool, *, gaps: Gaps, debtor: Debtor) -> None:
    """Add GET /statusz."""

    @app.get("/statusz")
    async def statusz() -> dict[str, Any]:
        """Whether records have room and reach Kafka, and what was answered without one."""
        owed_s = debtor.owed_s()
        return {
            "records": {
                "state": _state(spool, owed_s),
                "backlog_bytes": spool.backlog_bytes,
                "kafka_owes_s": round(owed_s, 1),
                "unrecorded": [
                    {"tenant": g.tenant, "model": g.model, "answered": g.answered, "failed": g.failed}
                    for g in gaps.open
                ],
            }
        }


def _state(spool: Spool, owed_s: float) -> str:
    if spool.is_blocked:
        return "disk full"
    if spool.is_full:
        return "full"
    return "waiting for Kafka" if owed_s > _AWAY_S else "shipping"
