"""Which URLs a result may be sent to. The list is the operator's; everything not on it is refused."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult, urlsplit

from slipway.errors import InvalidInput
from slipway.job_terms import LONGEST_CALLBACK_URL, split_list

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Plain ASCII without anything that two parsers read differently: spaces, controls, quotes, backslashes.
_PLAIN: Final = re.compile(r"[A-Za-z0-9._~:/?@!$&'()*+,;=%\[\]-]+")
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]+\]")
_HIDDEN: Final = re.compile(r"%(2e|2f|5c|00)", re.IGNORECASE)  # a dot, a slash, a backslash, a NUL
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """One entry: the same scheme, host and port, and a path below this one."""

    scheme: str
    host: str
    port: int
    path: str  # ends with a slash

    def covers(self, other: "Prefix") -> bool:
        """Whether `other` lies below this entry."""
        same_place = (self.scheme, self.host, self.port) == (other.scheme, other.host, other.port)
        return same_place and (other.path + "/").startswith(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackPolicy:
    """The operator's list of URL prefixes, and the private networks that callbacks may reach."""

    prefixes: tuple[Prefix, ...]
    private_networks: tuple[Network, ...]

    def check_url(self, url: str, *, key: str = "callback_url") -> None:
        """Refuse a URL that is not on the list.

        Args:
            url: Where something is to be sent.
            key: What its sender calls it.
        Raises:
            InvalidInput: Not on it, or not plainly readable.
        """
        if len(url) > LONGEST_CALLBACK_URL:
            raise InvalidInput(f"{key} has {len(url)} characters; at most {LONGEST_CALLBACK_URL}")
        place = _parse(url)
        if not any(prefix.covers(place) for prefix in self.prefixes):
            raise InvalidInput(
                f"{key} {url[:100]!r} is not below any prefix of SLIPWAY_CALLBACK_ALLOW; "
                "the operator of the platform keeps that list"
            )

    def allows_address(self, address: str) -> bool:
        """Whether a callback may connect to an address: a public one, or one of the listed networks.

        What a name resolves to decides, not the name: otherwise a public name could lead inside.
        """
        it = ip_address(address.partition("%")[0])
        if isinstance(it, IPv6Address) and it.ipv4_mapped is not None:
            it = it.ipv4_mapped
        if any(it.version == network.version and it in network for network in self.private_networks):
            return True
        is_translated = isinstance(it, IPv6Address) and (it.sixtofour or it.teredo or it in _NAT64)
        return it.is_global and not it.is_multicast and not is_translated


_NAT64: Final = IPv6Network("64:ff9b::/96")


def policy_of(allow: str, private_networks: str) -> CallbackPolicy:
    """The policy of two settings.

    Args:
        allow: URL prefixes with commas: `https://hooks.example.com/slipway/`. None = no callbacks.
        private_networks: Networks with commas: `10.1.2.0/24`. None = public addresses only.
    Raises:
        InvalidInput: An entry cannot be read.
    """
    prefixes = tuple(_with_slash(_parse(entry)) for entry in split_list(allow))
    return CallbackPolicy(
        prefixes=prefixes, private_networks=tuple(_network(entry) for entry in split_list(private_networks))
    )


def _with_slash(prefix: Prefix) -> Prefix:
    path = prefix.path if prefix.path.endswith("/") else prefix.path + "/"
    return Prefix(scheme=prefix.scheme, host=prefix.host, port=prefix.port, path=path)


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise InvalidInput(f"SLIPWAY_CALLBACK_PRIVATE_NETWORKS: {text[:60]!r} is not a network") from error


def _parse(url: str) -> Prefix:
    problem = f"{url[:100]!r} is no plain http or https URL"
    if not _PLAIN.fullmatch(url):
        raise InvalidInput(f"{problem}: spaces, controls, quotes, backslashes and # have no place in it")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidInput(f"{problem}: {error}") from error
    host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc
    if parts.scheme not in _PORTS or not _HOST.fullmatch(host) or port == 0:
        raise InvalidInput(f"{problem}: give scheme, host in lower case, and no user name")
    if _has_dots(parts):
        raise InvalidInput(f"{problem}: its path must not lead upwards or hide a dot or slash")
    return Prefix(scheme=parts.scheme, host=host, port=port or _PORTS[parts.scheme], path=parts.path or "/")


def _has_dots(parts: SplitResult) -> bool:
    segments = parts.path.split("/")
    is_doubled = "//" in parts.path
    return is_doubled or "." in segments or ".." in segments or _HIDDEN.search(parts.path) is not None
