"""What a committed batch adds to the metrics."""

from collections.abc import Iterable, Mapping

from services.feedback import metrics
from services.feedback.domain.claim import Refusal
from services.feedback.domain.join import Effect
from services.feedback.domain.ledger import Applied, Duplicate, Outcome, RowKey
from services.feedback.items import Item
from services.feedback.outcome_events import outcome_of
from services.feedback.store.entries import LoadedRow

_EFFECTS = {
    Effect.MATCHED: metrics.MATCHED,
    Effect.CORRECTED: metrics.CORRECTIONS,
    Effect.WITHDRAWN: metrics.RETRACTIONS,
}


def count_batch(
    decided: Iterable[tuple[Item, Outcome]], loaded: Mapping[RowKey, LoadedRow], *, now_s: float
) -> None:
    """Count every item and what became of it."""
    for item, outcome in decided:
        if not item.is_from_park:
            metrics.RECEIVED.labels(item.claim.content.kind.value).inc()
        match outcome:
            case Applied():
                if outcome_of(item.claim.content):
                    metrics.OUTCOMES.labels(outcome.model, item.claim.content.kind.value).inc()
                _count_effect(outcome, served_at_s=loaded[outcome.key].served_at_s, now_s=now_s)
            case Duplicate():
                metrics.DUPLICATES.inc()
            case Refusal():
                metrics.QUARANTINED.labels(outcome.reason.value).inc()


def _count_effect(applied: Applied, *, served_at_s: float, now_s: float) -> None:
    if applied.effect in _EFFECTS:
        _EFFECTS[applied.effect].labels(applied.model).inc()
    elif applied.effect is not None:
        metrics.UNCHANGED.labels(applied.model, applied.effect.value).inc()
    if applied.effect is Effect.MATCHED and applied.row.revision == 1:
        metrics.JOIN_DELAY.labels(applied.model).observe(max(0.0, now_s - served_at_s))
