"""What a caller may choose about a job."""

import math
from dataclasses import dataclass

from services.gateway.domain.job_ids import time_of
from slipway.callback_urls import CallbackPolicy
from slipway.errors import InvalidInput
from slipway.job_terms import LONGEST_TTL_S, NORMAL, PRIORITIES

_OLDEST_SUBMISSION_S = 24 * 3600.0
_NEWEST_SUBMISSION_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """As they were sent; empty is the default of each."""

    priority: str = ""
    ttl_s: float = 0.0
    callback_url: str = ""
    reply_topic: str = ""
    submission_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRules:
    """What the operator allows."""

    default_ttl_s: float
    callbacks: CallbackPolicy
    reply_topics: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTerms:
    """What a job is accepted under."""

    priority: str
    submitted_at_s: float
    expires_at_s: float


def agree(options: JobOptions, rules: JobRules, *, now_s: float) -> JobTerms:
    """The terms of a job.

    Raises:
        InvalidInput: Names the option and what may stand there.
    """
    priority = options.priority or NORMAL
    if priority not in PRIORITIES:
        raise InvalidInput(f"priority {options.priority[:40]!r} is none of {', '.join(PRIORITIES)}")
    ttl_s = options.ttl_s or rules.default_ttl_s
    if not (math.isfinite(ttl_s) and 0 < ttl_s <= LONGEST_TTL_S):
        raise InvalidInput(f"ttl_s {options.ttl_s} must be above 0 and at most {LONGEST_TTL_S:.0f}")
    if options.reply_topic and options.reply_topic not in rules.reply_topics:
        known = ", ".join(rules.reply_topics)
        raise InvalidInput(f"reply_topic {options.reply_topic[:60]!r} is not allowed; these are: {known}")
    if options.callback_url:
        rules.callbacks.check_url(options.callback_url)
    return JobTerms(
        priority=priority,
        submitted_at_s=_submitted_at_s(options.submission_id, now_s),
        expires_at_s=now_s + ttl_s,
    )


def _submitted_at_s(submission_id: str, now_s: float) -> float:
    """The time that goes into the job id: the client's, where he names the submission, so that it repeats."""
    if not submission_id:
        return now_s
    at_s = time_of(submission_id) / 1000
    if not now_s - _OLDEST_SUBMISSION_S <= at_s <= now_s + _NEWEST_SUBMISSION_S:
        raise InvalidInput(
            f"submission_id {submission_id[:60]!r} was not made within the last "
            f"{_OLDEST_SUBMISSION_S / 3600:.0f} hours: make a new UUIDv7"
        )
    return at_s
