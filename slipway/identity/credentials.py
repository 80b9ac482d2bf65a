"""What a caller shows to prove who he is, the same for gRPC and HTTP."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from slipway.errors import Unauthenticated

_PEM: Final = "x509_pem_cert"
_TWICE: Final = "send `authorization` or `x-api-key` once, and only one of them"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """As sent; nothing here has been verified but the certificate, by TLS.

    Attributes:
        authorization: The header of that name, whole.
        api_key: The header `x-api-key`.
        certificate: The client's certificate as TLS verified it, in PEM or DER; empty where there is none.
    """

    authorization: str = ""
    api_key: str = ""
    certificate: bytes = b""


def from_metadata(metadata: Iterable[tuple[str, Any]], certificate: bytes = b"") -> Credentials:
    """The credentials in the metadata of a gRPC call.

    Raises:
        Unauthenticated: Several, so that two readers could take different ones.
    """
    authorization = api_key = ""
    for name, value in metadata:
        if name == "authorization":
            if authorization:
                raise Unauthenticated(_TWICE)
            authorization = value
        elif name == "x-api-key":
            if api_key:
                raise Unauthenticated(_TWICE)
            api_key = value
    return Credentials(authorization=authorization, api_key=api_key, certificate=certificate)


def from_headers(headers: Iterable[tuple[bytes, bytes]], certificate: bytes = b"") -> Credentials:
    """The credentials in the headers of an HTTP request.

    Raises:
        Unauthenticated: As for `from_metadata`.
    """
    relevant = (
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in headers
        if name in (b"authorization", b"x-api-key")
    )
    return from_metadata(relevant, certificate)


def of_call(context: Any) -> Credentials:
    """The credentials of a gRPC call, with the certificate of its connection.

    Raises:
        Unauthenticated: As for `from_metadata`.
    """
    certificates = context.auth_context().get(_PEM, ())
    return from_metadata(context.invocation_metadata(), certificates[0] if certificates else b"")
