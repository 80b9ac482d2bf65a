from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.job_ids import (
    NONCE_BITS,
    JobOwner,
    issued_at_s,
    job_id,
    nonce_of,
    time_of,
)
from slipway.errors import InvalidInput
from slipway.ids import new_id

SECRET = b"s" * 64
ANNA = JobOwner(tenant="default", principal="anna")
OTHERS = (JobOwner(tenant="default", principal="bert"), JobOwner(tenant="other", principal="anna"))
NOW_MS = 1_760_000_000_123


@given(at_ms=st.integers(0, 2**48 - 1), nonce=st.integers(0, 2**NONCE_BITS - 1))
def test_an_id_says_when_and_to_whom_it_was_given(at_ms: int, nonce: int) -> None:
    text = job_id(SECRET, ANNA, at_ms=at_ms, nonce=nonce)
    assert UUID(text).version == 7
    assert UUID(text).variant == "specified in RFC 4122"
    assert time_of(text) == at_ms
    assert issued_at_s(SECRET, ANNA, text) == at_ms / 1000
    assert [issued_at_s(SECRET, other, text) for other in OTHERS] == [None, None]
    assert issued_at_s(b"t" * 64, ANNA, text) is None


def test_ids_differ_where_anything_differs() -> None:
    ids = {
        job_id(SECRET, owner, at_ms=NOW_MS + ms, nonce=nonce)
        for owner in (ANNA, *OTHERS)
        for ms in range(5)
        for nonce in (0, 1, 2**30, 2**NONCE_BITS - 1)
    }
    assert len(ids) == 60


@pytest.mark.parametrize("text", ["", "no id", new_id(), new_id().upper(), "{" + new_id() + "}"])
def test_what_was_not_given_out_is_not_known(text: str) -> None:
    assert issued_at_s(SECRET, ANNA, text) is None


def test_another_spelling_of_an_id_is_not_that_id() -> None:
    text = job_id(SECRET, ANNA, at_ms=NOW_MS, nonce=7)
    assert issued_at_s(SECRET, ANNA, text.replace("-", "")) is None
    assert issued_at_s(SECRET, ANNA, f"urn:uuid:{text}") is None


def test_a_clients_own_id_leads_to_the_same_nonce_always() -> None:
    mine = new_id()
    assert nonce_of(mine) == nonce_of(mine)
    assert nonce_of(mine) != nonce_of(new_id())
    assert nonce_of(mine) < 2**NONCE_BITS


@pytest.mark.parametrize(
    ("text", "why"), [("x", "not a UUID"), ("7c9e6679-7425-40de-944b-e07fc1f90ae7", "version 4")]
)
def test_only_a_uuid_of_version_7_has_a_time(text: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        time_of(text)
