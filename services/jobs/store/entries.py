"""Rows as values."""

from dataclasses import dataclass

from services.jobs.domain.verdict import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose job it is."""

    tenant: str
    principal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job that has arrived."""

    job_id: str
    owner: Owner
    model: str
    priority: str
    request: bytes
    submitted_at_s: float
    expires_at_s: float
    callback_url: str
    reply_topic: str
    submitter: bytes = b""  # a serialized slipway.v1.Submitter, handed on as it came


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A job that this process has taken up."""

    trial: Trial
    owner: Owner
    model: str
    priority: str
    request: bytes
    submitted_at_s: float
    submitter: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A job at its end, as others are told."""

    job_id: str
    owner: Owner
    model: str
    state: str
    code: str
    message: str
    response: bytes | None
    reply_topic: str
    submitted_at_s: float
    finished_at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A job as its owner sees it."""

    job_id: str
    model: str
    state: str
    priority: str
    submitted_at_s: float
    expires_at_s: float
    finished_at_s: float | None
    tries: int
    code: str
    message: str
    response: bytes | None
    callback: str
    has_lost_result: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DueCallback:
    """A callback to be tried now."""

    owner: Owner
    url: str
    tries: int  # this one included
    deadline_s: float
    job: View


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What waits of one priority, and how much in all."""

    jobs: int
    total_bytes: int
