"""Client certificates: whom one that TLS has verified stands for."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from slipway.errors import InvalidInput, Unauthenticated
from slipway.identity.access_file import CertificateRule
from slipway.identity.api_keys import SERVICES, check_principal
from slipway.identity.caller import DEFAULT_TENANT, SERVICE, Caller

_PEM: Final = b"-----BEGIN"
_SERVICES: Final = "spiffe://slipway/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What of a certificate tells whom it stands for."""

    uris: tuple[str, ...]
    dns: tuple[str, ...]
    subject: str
    fingerprint: str
    not_before_s: float
    not_after_s: float


def read_certificate(data: bytes) -> Certificate:
    """Read a certificate in PEM or DER.

    Raises:
        Unauthenticated: Not a certificate.
    """
    try:
        pem = data.startswith(_PEM)
        it = x509.load_pem_x509_certificate(data) if pem else x509.load_der_x509_certificate(data)
        names = _names(it)
    except (ValueError, x509.DuplicateExtension) as error:
        raise Unauthenticated("the client certificate cannot be read") from error
    return Certificate(
        uris=tuple(names.get_values_for_type(x509.UniformResourceIdentifier)) if names else (),
        dns=tuple(names.get_values_for_type(x509.DNSName)) if names else (),
        subject=it.subject.rfc4514_string(),
        fingerprint=hashlib.sha256(it.public_bytes(Encoding.DER)).hexdigest(),
        not_before_s=it.not_valid_before_utc.timestamp(),
        not_after_s=it.not_valid_after_utc.timestamp(),
    )


def _names(it: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return it.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def service_of(it: Certificate) -> Caller | None:
    """The part of the system that a certificate of its own authority names; None where it names none."""
    for uri in it.uris:
        name = uri.removeprefix(_SERVICES)
        if name != uri and name in SERVICES:
            return Caller(
                principal=name,
                tenant=DEFAULT_TENANT,
                roles=(SERVICE,),
                method="service",
                credential_id=_credential_id(it),
            )
    return None


def check_times(it: Certificate, *, now_s: float) -> None:
    """Refuse what is not valid now: a connection may outlive the certificate that opened it.

    Raises:
        Unauthenticated: Expired, or not valid yet.
    """
    if not it.not_before_s <= now_s < it.not_after_s:
        raise Unauthenticated("the client certificate has expired, or is not valid yet")


def _credential_id(it: Certificate) -> str:
    return f"x509:{it.fingerprint[:32]}"


def caller_of(it: Certificate, rules: Sequence[CertificateRule]) -> Caller:
    """Whom a certificate stands for, by the first rule that names it.

    Raises:
        Unauthenticated: Nobody.
    """
    for rule in rules:
        principal = _principal(it, rule)
        if principal is not None:
            return Caller(
                principal=principal,
                tenant=rule.tenant,
                roles=tuple(sorted(set(rule.roles))),
                method="mtls",
                credential_id=_credential_id(it),
            )
    shown = ", ".join((*it.uris, *it.dns))[:120] or it.subject[:120]
    raise Unauthenticated(f"no rule of issuers.yaml says whom the client certificate of {shown!r} stands for")


def _principal(it: Certificate, rule: CertificateRule) -> str | None:
    """The caller's name where the rule names this certificate."""
    if rule.subject:
        return rule.principal if rule.subject == it.subject else None
    if rule.uri:
        return _matched(rule.uri, it.uris, principal=rule.principal)
    return _matched(rule.dns, it.dns, principal=rule.principal)


def _matched(pattern: str, names: Iterable[str], *, principal: str) -> str | None:
    before, star, after = pattern.partition("*")
    for name in names:
        if not star and name == pattern:
            return principal
        if star and name.startswith(before) and name.endswith(after):
            part = name[len(before) : len(name) - len(after)]
            if part and not set(part) & {"/", "."}:
                return _checked(part)
    return None


def _checked(part: str) -> str:
    try:
        return check_principal(part)
    except InvalidInput as error:
        raise Unauthenticated(f"the client certificate's name cannot be taken: {error}") from error
