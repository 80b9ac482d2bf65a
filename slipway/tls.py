"""TLS of our gRPC and HTTP ports: whose certificate is shown, and whose is asked for.

Files are read when a port opens or a channel is made: renewed certificates are taken up at a restart.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

import grpc

from slipway.errors import InvalidInput

SCHEME: Final = "tls"
REPLICA: Final = "replica"
"""The name that the certificates of replicas carry, whatever their address."""
_KNOWN: Final = frozenset({"ca_file", "cert_file"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    """What a port shows, and what it asks of its callers.

    Attributes:
        cert_file: The certificate; its private key too, unless `key_file` names another file.
        client_ca: Callers must show a certificate of this authority; "" asks them for none.
    """

    cert_file: str
    key_file: str = ""
    client_ca: str = ""

    def grpc(self) -> grpc.ServerCredentials:
        """For a gRPC port.

        Raises:
            InvalidInput: A file cannot be read.
        """
        pair = (read_pem(self.key_file or self.cert_file), read_pem(self.cert_file))
        return grpc.ssl_server_credentials(
            [pair],
            root_certificates=read_pem(self.client_ca) if self.client_ca else None,
            require_client_auth=bool(self.client_ca),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a neighbour answers, and how.

    Attributes:
        address: `host:port`.
        ca_file: The neighbour's certificate must be of this authority; "" speaks in the clear.
        cert_file: The certificate and key that are shown to it; "" shows none.
    """

    address: str
    ca_file: str = ""
    cert_file: str = ""

    @property
    def is_encrypted(self) -> bool:
        """Whether the neighbour proves who it is."""
        return bool(self.ca_file)

    def grpc(self) -> grpc.ChannelCredentials:
        """For a channel to it.

        Raises:
            InvalidInput: A file cannot be read.
        """
        own = read_pem(self.cert_file) if self.cert_file else None
        return grpc.ssl_channel_credentials(read_pem(self.ca_file), private_key=own, certificate_chain=own)


def parse_target(text: str) -> Target:
    """Read `host:port`, or `tls://host:port?ca_file=PATH&cert_file=PATH`.

    Raises:
        InvalidInput: It has another form.
    """
    if "://" not in text:
        return Target(address=text)
    url = urlsplit(text)
    given = {name: values[-1] for name, values in parse_qs(url.query).items()}
    if url.scheme != SCHEME or not url.netloc or "ca_file" not in given or given.keys() - _KNOWN:
        raise InvalidInput(
            f"the target {text!r} is neither host:port nor {SCHEME}://host:port?ca_file=PATH&cert_file=PATH"
        )
    return Target(address=url.netloc, **given)


def encrypted(address: str) -> str:
    """How a replica that speaks TLS announces its address: whoever calls it has files of his own."""
    return f"{SCHEME}://{address}"


def address_of(announced: str) -> tuple[str, bool]:
    """The address that a server announced, and whether TLS is spoken there."""
    address = announced.removeprefix(f"{SCHEME}://")
    return address, address != announced


def unparse_target(target: Target) -> str:
    """The text of an encrypted target."""
    files = {"ca_file": target.ca_file, "cert_file": target.cert_file}
    return f"{SCHEME}://{target.address}?" + urlencode({name: path for name, path in files.items() if path})


def read_pem(path: str) -> bytes:
    """The bytes of a certificate's or key's file.

    Raises:
        InvalidInput: It cannot be read, or holds no PEM.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"cannot read {path}: {error.strerror}; `slipway init` makes certificates"
        ) from error
    if b"-----BEGIN " not in content:
        raise InvalidInput(f"{path} holds no certificate in PEM; `slipway init` makes certificates")
    return content
