"""What a run of claims does to the rows they name: the whole decision about one batch, without I/O."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from services.feedback.domain.claim import Claim, Content, Kind, Reason, Refusal
from services.feedback.domain.identity import identity_of, subject_digest
from services.feedback.domain.join import Effect, Labelled, Row, Withdrawn, join
from services.feedback.domain.label import LabelRules, canonical
from slipway.tokens import Owner

RowKey: TypeAlias = tuple[str, int]  # prediction id, row


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A prediction that was recorded: whose it is, and how many rows it has."""

    prediction_id: str
    owner: Owner
    model: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRow:
    """A row as it stands, and what the model answered for it."""

    row: Row
    predicted: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A claim whose token was verified; `is_from_park` when it has waited here for its record."""

    claim: Claim
    owner: Owner
    is_from_park: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """The claim met its row; `signal` when it says something that is no label."""

    key: RowKey
    model: str
    row: Row
    effect: Effect | None
    signal: Content | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """The record is not here yet."""

    subject: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """The same feedback was taken before."""


Outcome: TypeAlias = Applied | Parked | Duplicate | Refusal


@dataclass(slots=True, kw_only=True)
class Ledger:
    """The part of the store that a batch touches, brought forward claim by claim.

    Attributes:
        predictions: Recorded predictions by subject digest (id or key).
        rows: The rows that the batch may touch.
        rules: Label rules by model.
        seen: Identities of feedback that was taken before.
        parked: How many claims of a tenant are waiting.
        max_parked: How many may.
    """

    predictions: Mapping[bytes, Prediction]
    rows: dict[RowKey, StoredRow]
    rules: Mapping[str, LabelRules]
    seen: set[bytes]
    parked: Counter[str] = field(default_factory=Counter)
    max_parked: int

    def apply(self, arrival: Arrival) -> Outcome:
        """Decide about one claim, in order of arrival."""
        claim, owner = arrival.claim, arrival.owner
        identity = identity_of(claim, owner)
        if identity in self.seen and not arrival.is_from_park:
            return Duplicate()
        outcome = self._meet(arrival)
        if not isinstance(outcome, Refusal):
            self.seen.add(identity)  # a refused claim may be sent again once its cause is gone
        return outcome

    def _meet(self, arrival: Arrival) -> Outcome:
        subject = subject_digest(arrival.claim.subject, arrival.owner)
        prediction = self.predictions.get(subject)
        if prediction is None:
            return self._park(arrival, subject)
        if prediction.owner != arrival.owner:
            return _refuse(prediction, Reason.FOREIGN, "the prediction was served to somebody else")
        row = arrival.claim.subject.row
        stored = self.rows.get((prediction.prediction_id, row))
        if stored is None:
            return _refuse(
                prediction, Reason.BAD_ROW, f"row {row} of a prediction with {prediction.rows} rows"
            )
        return self._join(prediction, stored, arrival.claim)

    def _park(self, arrival: Arrival, subject: bytes) -> Parked | Refusal:
        tenant, model = arrival.owner.tenant, arrival.claim.subject.model
        if self.parked[tenant] >= self.max_parked:
            detail = (
                f"{self.max_parked} early feedbacks of tenant {tenant} wait for their predictions already"
            )
            return Refusal(reason=Reason.TOO_MANY_PARKED, detail=detail, model=model)
        self.parked[tenant] += 1
        return Parked(subject=subject)

    def _join(self, prediction: Prediction, stored: StoredRow, claim: Claim) -> Applied | Refusal:
        rules = self.rules.get(prediction.model)
        if rules is None:
            return _refuse(prediction, Reason.NO_SPEC, f"no spec is applied for model {prediction.model}")
        said = reading(claim, predicted=stored.predicted, rules=rules)
        if isinstance(said, Refusal):
            return _refuse(prediction, said.reason, said.detail)
        key = (prediction.prediction_id, claim.subject.row)
        row, effect = (stored.row, None) if said is None else join(stored.row, said)
        self.rows[key] = StoredRow(row=row, predicted=stored.predicted)
        signal = claim.content if claim.content.kind in _SIGNALS else None
        return Applied(key=key, model=prediction.model, row=row, effect=effect, signal=signal)


_SIGNALS = frozenset({Kind.ACCEPTED, Kind.RATING, Kind.BUSINESS_VALUE})


def reading(claim: Claim, *, predicted: str, rules: LabelRules) -> Labelled | Withdrawn | Refusal | None:
    """What a claim means for its row's label; None when it says nothing about it."""
    content = claim.content
    match content.kind:
        case Kind.LABEL | Kind.EDITED_LABEL:
            label = canonical(content.text, rules)
            return label if isinstance(label, Refusal) else Labelled(label=label, source=claim.source)
        case Kind.ACCEPTED if content.is_yes and rules.accept_is_label:
            return Labelled(label=predicted, source=claim.source)
        case Kind.RETRACT:
            return Withdrawn(source=claim.source)
        case _:
            return None


def _refuse(prediction: Prediction, reason: Reason, detail: str) -> Refusal:
    return Refusal(reason=reason, detail=detail, model=prediction.model)
