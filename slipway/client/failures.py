"""Failed calls as the errors of `slipway.errors`, with what was tried in their message."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import grpc

from slipway.errors import SlipwayError, Unavailable
from slipway.rpc import STATUS

_ERROR_OF_STATUS: Final[dict[grpc.StatusCode, type[SlipwayError]]] = {
    code: kind for kind, code in STATUS.items()
}


@contextmanager
def calling(what: str) -> Iterator[None]:
    """Raise what the gateway answers: InvalidInput, Unauthenticated, NotFound, Unavailable, ..."""
    try:
        yield
    except grpc.RpcError as error:
        call: Any = error
        kind = _ERROR_OF_STATUS.get(call.code(), Unavailable)
        raise kind(f"{what}: {call.details()}") from error
