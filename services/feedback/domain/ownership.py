"""Nobody labels what he was not served: the token speaks for an owner, the record names one."""

from services.feedback.domain.claim import Claim, Reason, Refusal
from slipway import tokens
from slipway.errors import Unauthenticated
from slipway.tokens import Owner


def owner_of(claim: Claim, secret: bytes) -> Owner | Refusal:
    """For whom a claim speaks, proven by its token over the prediction id or the business key."""
    subject = claim.subject
    named = subject.prediction_id or tokens.subject_of_key(subject.business_key)
    try:
        return tokens.verify(secret, claim.token, subject=named)
    except Unauthenticated as error:
        return Refusal(reason=Reason.BAD_TOKEN, detail=str(error), model=subject.model)
