"""What the status of a failed call means: for the caller, for the endpoint, and for another try."""

from dataclasses import dataclass, replace
from typing import Final

import grpc
import grpc.aio
from grpc import StatusCode

from services.gateway.domain.failures import ArmFailed
from slipway.errors import DeadlineExceeded, Overloaded, SlipwayError, Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """Attributes:

    kind: What the caller is told.
    is_fault: Whether it speaks against the endpoint.
    is_gone: Whether the endpoint cannot be reached, or has not got the version.
    is_retriable: Whether another endpoint may do better.
    """

    kind: type[SlipwayError]
    is_fault: bool = True
    is_gone: bool = False
    is_retriable: bool = False


_GONE: Final = Meaning(kind=Unavailable, is_gone=True, is_retriable=True)
_CUT: Final = Meaning(kind=Unavailable, is_retriable=True)
_FULL: Final = Meaning(kind=Overloaded, is_fault=False)
_BAD_INPUT: Final = Meaning(kind=ArmFailed, is_fault=False)
_BROKEN: Final = Meaning(kind=ArmFailed)
_MEANINGS: Final = {
    StatusCode.UNAVAILABLE: _GONE,
    StatusCode.NOT_FOUND: _GONE,
    StatusCode.UNIMPLEMENTED: _GONE,
    StatusCode.CANCELLED: _CUT,  # by the server: a cancellation of ours is no error
    StatusCode.DEADLINE_EXCEEDED: Meaning(kind=DeadlineExceeded),
    StatusCode.RESOURCE_EXHAUSTED: _FULL,
    StatusCode.INVALID_ARGUMENT: _BAD_INPUT,
    StatusCode.OUT_OF_RANGE: _BAD_INPUT,
    StatusCode.FAILED_PRECONDITION: _BAD_INPUT,
}


class CallFailed(Exception):
    """A call that ended without an answer."""

    def __init__(self, error: SlipwayError, meaning: Meaning) -> None:
        super().__init__(str(error))
        self.error = error
        self.meaning = meaning

    @property
    def is_timeout(self) -> bool:
        """Whether the time ran out."""
        return self.meaning.kind is DeadlineExceeded

    def for_a_probe(self) -> "CallFailed":
        """The same, to be tried elsewhere: nobody shall pay for the trial of an endpoint."""
        return CallFailed(self.error, replace(self.meaning, is_retriable=True))

    def without_fault(self) -> "CallFailed":
        """The same, not to be held against the endpoint."""
        return CallFailed(self.error, replace(self.meaning, is_fault=False))


def failure_of(error: grpc.aio.AioRpcError, *, version: str) -> CallFailed:
    """A gRPC error in our words."""
    meaning, details = _meaning(error), error.details() or error.code().name
    if meaning.kind is DeadlineExceeded:
        text = f"version {version!r} did not answer in time"
    elif error.code() is StatusCode.UNIMPLEMENTED:
        text = f"version {version!r}: its server does not speak the Open Inference Protocol ({details})"
    else:
        text = f"version {version!r}: {details}"
    return CallFailed(meaning.kind(text), meaning)


def _meaning(error: grpc.aio.AioRpcError) -> Meaning:
    code, details = error.code(), error.details() or ""
    if code is StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
        return _BAD_INPUT  # not full: this message is too large, and smaller ones are not
    if code is StatusCode.INTERNAL and "RST_STREAM" in details:
        return _CUT
    return _MEANINGS.get(code, _BROKEN)
