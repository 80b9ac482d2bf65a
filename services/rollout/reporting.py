"""What metrics and the log of the process say of a model."""

import logging

from services.rollout import metrics
from services.rollout.domain.log_entry import WHOLE_PPM, LogEntry
from services.rollout.domain.position import Position
from services.rollout.domain.state_machine import STEPS, State
from services.rollout.domain.tally import Tally

log = logging.getLogger(__name__)


def report(position: Position, tally: Tally, entry: LogEntry) -> None:
    """Show a transition and where it has led."""
    metrics.TRANSITIONS.labels(entry.to_state, entry.trigger).inc()
    report_gauges(entry.model, position, tally)
    log.info(
        "transition",
        extra={
            "model": entry.model,
            "seq": entry.seq,
            "from_state": entry.from_state,
            "to_state": entry.to_state,
            "trigger": entry.trigger,
            "version": entry.subject.version,
            "epoch": entry.epoch,
            "reason": entry.reason,
        },
    )


def report_gauges(name: str, position: Position, tally: Tally) -> None:
    """Show where a model stands."""
    metrics.ROUTE_EPOCH.labels(name).set(position.epoch)
    metrics.LIVE.labels(name).set(position.is_live)
    share_ppm = position.weight_ppm if position.state in STEPS else 0
    metrics.CANARY_SHARE.labels(name).set(share_ppm / WHOLE_PPM)
    report_evidence(name, position, tally)


def report_evidence(name: str, position: Position, tally: Tally) -> None:
    """Show the evidence against the version that is rolled out."""
    is_bake = position.state is State.BAKE
    value = tally.bake_e_value if is_bake else tally.e_value
    metrics.E_VALUE.labels(name).set(value if position.is_live else 0)
