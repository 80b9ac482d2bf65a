from dataclasses import replace
from typing import Any

import pytest

from services.gateway.domain.job_options import JobOptions, JobRules, agree
from slipway.callback_urls import policy_of
from slipway.errors import InvalidInput
from slipway.job_terms import LONGEST_TTL_S

NOW_S = 1_760_000_000.0
RULES = JobRules(
    default_ttl_s=100.0,
    callbacks=policy_of("https://hooks.example.com/slipway/", ""),
    reply_topics=("job_results",),
)


def uuid_at(at_s: float) -> str:
    text = f"{int(at_s * 1000):012x}"
    return f"{text[:8]}-{text[8:]}-7000-8000-000000000001"


def test_what_is_not_chosen_has_its_default() -> None:
    terms = agree(JobOptions(), RULES, now_s=NOW_S)
    assert (terms.priority, terms.submitted_at_s, terms.expires_at_s) == ("normal", NOW_S, NOW_S + 100)


def test_what_is_chosen_holds() -> None:
    options = JobOptions(
        priority="high",
        ttl_s=5,
        callback_url="https://hooks.example.com/slipway/a",
        reply_topic="job_results",
        submission_id=uuid_at(NOW_S - 60),
    )
    terms = agree(options, RULES, now_s=NOW_S)
    assert (terms.priority, terms.submitted_at_s, terms.expires_at_s) == ("high", NOW_S - 60, NOW_S + 5)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"priority": "urgent"}, "high, normal, low"),
        ({"priority": "HIGH"}, "'HIGH'"),
        ({"ttl_s": -1.0}, "ttl_s -1.0"),
        ({"ttl_s": float("nan")}, "ttl_s nan"),
        ({"ttl_s": float("inf")}, "ttl_s inf"),
        ({"ttl_s": LONGEST_TTL_S + 1}, "at most 604800"),
        ({"reply_topic": "predictions"}, "these are: job_results"),
        ({"callback_url": "https://evil.example/"}, "not below any prefix"),
        ({"submission_id": "mine"}, "not a UUID"),
        ({"submission_id": uuid_at(NOW_S - 90_000)}, "last 24 hours"),
        ({"submission_id": uuid_at(NOW_S + 400)}, "last 24 hours"),
    ],
)
def test_what_cannot_be_is_named(change: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        agree(replace(JobOptions(), **change), RULES, now_s=NOW_S)
