"""How every Kafka client of ours gets in: one setting, `SLIPWAY_KAFKA_BOOTSTRAP`, and this one reader of it.

`sasl+ssl://USER@HOST:PORT,HOST:PORT?password_file=PATH&ca_file=PATH` is SCRAM-SHA-512 inside TLS. The
password comes from its file, or from the variable `SLIPWAY_SECRET_<FILE NAME>`. A bare `HOST:PORT` is
neither encrypted nor authenticated, and is taken for a broker on loopback alone.
"""

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from slipway.errors import InvalidInput
from slipway.secret_text import secret_text

MECHANISM: Final = "SCRAM-SHA-512"
SCHEME: Final = "sasl+ssl"
# Without a file the password comes from SLIPWAY_SECRET_KAFKA_PASSWORD.
_DEFAULT_PASSWORD: Final = "kafka.password"
_KNOWN: Final = frozenset({"password_file", "ca_file"})
_FORM: Final = f"{SCHEME}://USER@HOST:PORT?password_file=PATH&ca_file=PATH"


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaAccess:
    """Who connects where.

    Attributes:
        servers: `host:port`, with commas.
        user: The SCRAM user; "" without authentication.
        password_file: Where the password is; never the password.
        ca_file: The authority that the broker's certificate is checked by; "" for those of the system.
    """

    servers: str
    user: str = ""
    password_file: str = _DEFAULT_PASSWORD
    ca_file: str = ""

    @property
    def is_secured(self) -> bool:
        """Whether it is encrypted and authenticated."""
        return bool(self.user)

    def tls(self) -> ssl.SSLContext:
        """What checks the broker's certificate.

        Raises:
            InvalidInput: The authority's file is missing or holds no certificate.
        """
        try:
            return ssl.create_default_context(cafile=self.ca_file or None)
        except (OSError, ssl.SSLError) as error:
            raise InvalidInput(
                f"cannot read the authority of Kafka's certificate, {self.ca_file}: {error}; "
                "run `slipway init`"
            ) from error

    def password(self) -> str:
        """The user's password.

        Raises:
            NotFound: Neither the file nor the variable holds it.
        """
        return secret_text(Path(self.password_file))


def parse(bootstrap: str) -> KafkaAccess:
    """Read the setting; opens no file.

    Raises:
        InvalidInput: It cannot be read, or would send everything in the clear to another machine.
    """
    if "://" not in bootstrap:
        _refuse_plaintext(bootstrap)
        return KafkaAccess(servers=bootstrap)
    url = urlsplit(bootstrap)
    user, _, servers = url.netloc.rpartition("@")
    given = {name: values[-1] for name, values in parse_qs(url.query).items()}
    if url.scheme != SCHEME or not user or not servers or given.keys() - _KNOWN:
        raise InvalidInput(
            f"SLIPWAY_KAFKA_BOOTSTRAP={bootstrap!r} is not of the form {_FORM}; "
            "other protocols are not spoken: they show passwords or everything"
        )
    return KafkaAccess(servers=servers, user=unquote(user), **given)


def unparse(access: KafkaAccess) -> str:
    """The setting's text for a user."""
    files = {"password_file": access.password_file, "ca_file": access.ca_file}
    return f"{SCHEME}://{quote(access.user, safe='')}@{access.servers}?{urlencode(files)}"


def client_options(bootstrap: str) -> dict[str, Any]:
    """The options with which a client of aiokafka gets in.

    Raises:
        InvalidInput: As `parse`, or the authority's file cannot be read.
        NotFound: There is no password.
    """
    access = parse(bootstrap)
    if not access.is_secured:
        return {"bootstrap_servers": access.servers}
    return {
        "bootstrap_servers": access.servers,
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": MECHANISM,
        "sasl_plain_username": access.user,
        "sasl_plain_password": access.password(),
        "ssl_context": access.tls(),
    }


def _refuse_plaintext(servers: str) -> None:
    for server in servers.split(","):
        host = server.strip().rpartition(":")[0].strip("[]")
        if not is_loopback(host):
            raise InvalidInput(
                f"SLIPWAY_KAFKA_BOOTSTRAP={servers!r}: {host or server} is not this machine, and nothing "
                f"is sent there in the clear; give {_FORM}"
            )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
