import pytest

from services.feedback.domain.claim import Claim, Content, Kind, Reason, Refusal, Subject
from services.feedback.domain.ownership import owner_of
from slipway import tokens
from slipway.tokens import Owner

SECRET = b"secret"
ANNA = Owner("acme", "anna")


def claim(subject: Subject, token: str) -> Claim:
    return Claim(subject=subject, content=Content(kind=Kind.LABEL, text="1"), token=token)


@pytest.mark.parametrize(
    ("subject", "named"),
    [
        (Subject(prediction_id="p"), "p"),
        (Subject(business_key="order-1", model="m"), "key:order-1"),
        (Subject(prediction_id="p", business_key="order-1"), "p"),
    ],
)
def test_a_token_of_the_subject_proves_its_owner(subject: Subject, named: str) -> None:
    token = tokens.issue(SECRET, subject=named, owner=ANNA)
    assert owner_of(claim(subject, token), SECRET) == ANNA


@pytest.mark.parametrize(
    "token",
    [
        "",
        "garbage",
        "v1.%%%.abc",
        "v1.YQ.ä",
        tokens.issue(SECRET, subject="another", owner=ANNA),
        tokens.issue(b"forged", subject="p", owner=ANNA),
        tokens.issue(SECRET, subject="key:p", owner=ANNA),
    ],
)
def test_any_other_token_is_refused(token: str) -> None:
    refusal = owner_of(claim(Subject(prediction_id="p", model="m"), token), SECRET)
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, refusal.model) == (Reason.BAD_TOKEN, "m")
