"""The one tree of errors.

SlipwayError
├── InvalidInput       what was sent is wrong; sending it again will not help
├── Unauthenticated    nobody known
├── Denied             somebody known, not allowed
├── NotFound           the thing named does not exist
├── Conflict           it exists already, or moved on meanwhile
├── Overloaded         full; later it may work        (retriable)
├── Unavailable        a part is away; later it may work (retriable)
└── DeadlineExceeded   the time given ran out         (retriable)

Edges translate them: `slipway.rpc` to gRPC status codes, `slipway.web` to HTTP.
A message says what failed, which value, and what to do.
"""


class SlipwayError(Exception):
    """Any failure that Slipway itself names.

    Attributes:
        retry_after_s: When another try is worth it, if known.
        fields: What else the caller is told, as HTTP headers or gRPC metadata.
    """

    retriable = False
    fields: tuple[tuple[str, str], ...] = ()

    def __init__(self, *args: object, retry_after_s: float | None = None) -> None:
        super().__init__(*args)
        self.retry_after_s = retry_after_s


class InvalidInput(SlipwayError):
    """What was sent is wrong; sending it again will not help."""


class Unauthenticated(SlipwayError):
    """No credentials, or none that are known."""


class Denied(SlipwayError):
    """The caller is known and not allowed."""


class NotFound(SlipwayError):
    """The thing named does not exist."""


class Conflict(SlipwayError):
    """It exists already, or moved on meanwhile."""


class Overloaded(SlipwayError):
    """A bounded queue is full, or an answer would come too late."""

    retriable = True


class Unavailable(SlipwayError):
    """A part that is needed is away."""

    retriable = True


class DeadlineExceeded(SlipwayError):
    """The time given ran out."""

    retriable = True
