"""Which deliveries are one and the same feedback, and which name the same prediction: as digests.

Digests have one length, so a stranger's long text can never be too long for an index.
"""

import hashlib
from collections.abc import Iterable

from services.feedback.domain.claim import Claim, Subject
from slipway.tokens import Owner


def identity_of(claim: Claim, owner: Owner) -> bytes:
    """32 bytes that two deliveries of the same feedback share.

    The sender's `feedback_id`, else the `ce_id` of the Kafka record, else the content. It is scoped
    by the owner, so that nobody can use up another's ids.

    Args:
        claim: What was sent.
        owner: For whom its token speaks, verified.
    """
    if claim.feedback_id:
        return _digest("feedback_id", owner, [claim.feedback_id])
    if claim.event_id:
        return _digest("ce_id", owner, [claim.event_id])
    return _digest("content", owner, _content(claim))


def subject_digest(subject: Subject, owner: Owner) -> bytes:
    """32 bytes that name a prediction: by its id, else by the owner's key for a model.

    Keys are their owner's: two principals may use the same one and never meet.
    """
    if subject.prediction_id:
        return id_digest(subject.prediction_id)
    return key_digest(subject.model, subject.business_key, owner)


def id_digest(prediction_id: str) -> bytes:
    """The digest of a prediction named by its id."""
    return _hash(["id", prediction_id])


def key_digest(model: str, business_key: str, owner: Owner) -> bytes:
    """The digest of a prediction named by its owner's key."""
    return _hash(["key", owner.tenant, owner.principal, model, business_key])


def _content(claim: Claim) -> Iterable[str]:
    subject, content = claim.subject, claim.content
    yield from (subject.prediction_id, subject.model, subject.business_key, str(subject.row))
    yield from (content.kind, content.text, repr(content.number), str(content.is_yes))
    yield from (claim.source, repr(claim.observed_at_s))


def _digest(form: str, owner: Owner, parts: Iterable[str]) -> bytes:
    return _hash([form, owner.tenant, owner.principal, *parts])


def _hash(parts: Iterable[str]) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(4, "big") + data)  # the length keeps "ab","c" apart from "a","bc"
    return digest.digest()
