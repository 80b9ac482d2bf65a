"""The stack's own certificate authority, and a certificate for each part, made once and never overwritten."""

import datetime
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from slipway.errors import InvalidInput
from slipway.stack.new_file import replace_file, write_once

AUTHORITY: Final = "authority"
CA_FILE: Final = "ca.pem"
TRUST_DOMAIN: Final = "spiffe://slipway"
AUTHORITY_DAYS: Final = 3650
CERTIFICATE_DAYS: Final = 365
RENEW_DAYS: Final = 30
_CLOCK_SKEW: Final = datetime.timedelta(minutes=5)
_LOOPBACK: Final = ("127.0.0.1", "::1")
_HOW_TO_RENEW: Final = (
    "run `slipway init --renew`, then `slipway restart` and `slipway down kafka && slipway up`"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateStatus:
    """One certificate as `slipway status` tells it."""

    name: str
    expires_at: datetime.datetime
    days_left: int

    @property
    def is_due(self) -> bool:
        """Whether it should be renewed."""
        return self.days_left < RENEW_DAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A key and the certificate of its public half."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def certificate_path(directory: Path, name: str) -> Path:
    """The file with a part's private key and certificate."""
    return directory / f"{name}.pem"


def ca_path(directory: Path) -> Path:
    """The file that whoever checks the stack's certificates needs; no secret."""
    return directory / CA_FILE


def make_certificates(
    directory: Path, *, names: Iterable[str], now: datetime.datetime, renew: bool = False
) -> list[str]:
    """Make the authority and each certificate that does not exist yet.

    Args:
        directory: Where they are kept; private keys are readable by the owner alone.
        names: Parts that prove who they are: `spiffe://slipway/<name>`.
        now: The present time, with its zone.
        renew: Replace the certificates that exist; the authority stays, so everybody still trusts them.
    Returns:
        The names of what was made.
    Raises:
        InvalidInput: The authority on disk cannot be read or is past its end.
    """
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)
    made = []
    if write_once(certificate_path(directory, AUTHORITY), lambda: _to_pem(_new_authority(now))):
        made.append(AUTHORITY)
    authority = _read(directory, AUTHORITY)
    _refuse_expired(AUTHORITY, authority.certificate, now)
    replace_file(ca_path(directory), authority.certificate.public_bytes(Encoding.PEM), mode=0o644)
    for name in names:
        path = certificate_path(directory, name)
        if renew and path.exists():
            replace_file(path, _to_pem(_issue(name, authority, now)), mode=0o600)
            made.append(name)
        elif write_once(path, lambda name=name: _to_pem(_issue(name, authority, now))):  # type: ignore[misc]
            made.append(name)
    return made


def certificate_statuses(
    directory: Path, *, names: Iterable[str], now: datetime.datetime
) -> list[CertificateStatus]:
    """When each certificate ends, the authority's first; those that are not there are left out."""
    return [
        CertificateStatus(name=name, expires_at=end, days_left=(end - now).days)
        for name in (AUTHORITY, *names)
        if certificate_path(directory, name).is_file()
        for end in [_read(directory, name).certificate.not_valid_after_utc]
    ]


def check_certificates(directory: Path, *, names: Iterable[str], now: datetime.datetime) -> None:
    """Every certificate is of this authority, fits its key and is valid now.

    Raises:
        InvalidInput: Names the first that is not, and what to do.
    """
    authority = _read(directory, AUTHORITY).certificate
    for name in names:
        identity = _read(directory, name)
        try:
            identity.certificate.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise InvalidInput(
                f"the certificate of {name} in {directory} was not issued by the authority beside it; "
                f"{_HOW_TO_RENEW}"
            ) from error
        if identity.certificate.public_key() != identity.key.public_key():
            raise InvalidInput(
                f"the certificate and key of {name} in {directory} do not belong together; {_HOW_TO_RENEW}"
            )
        _refuse_expired(name, identity.certificate, now)


def _refuse_expired(name: str, certificate: x509.Certificate, now: datetime.datetime) -> None:
    end = certificate.not_valid_after_utc
    if now >= end:
        cure = (
            "delete the certificates' directory, then run `slipway init` and restart everything"
            if name == AUTHORITY
            else _HOW_TO_RENEW
        )
        raise InvalidInput(f"the certificate of {name} expired on {end:%Y-%m-%d %H:%M} UTC; {cure}")
    if now < certificate.not_valid_before_utc:
        begin = certificate.not_valid_before_utc
        raise InvalidInput(
            f"the certificate of {name} is valid only from {begin:%Y-%m-%d %H:%M} UTC: is the clock right?"
        )


def _new_authority(now: datetime.datetime) -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _common_name("Slipway local authority")
    certificate = (
        _builder(key, now=now, days=AUTHORITY_DAYS)
        .subject_name(name)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Identity(key=key, certificate=certificate)


def _issue(name: str, authority: Identity, now: datetime.datetime) -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    certificate = (
        _builder(key, now=now, days=CERTIFICATE_DAYS)
        .subject_name(_common_name(name))
        .issuer_name(authority.certificate.subject)
        .add_extension(_alternative_names(name), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(usages, critical=False)
        .add_extension(issuer_key, critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return Identity(key=key, certificate=certificate)


def _builder(
    key: ec.EllipticCurvePrivateKey, *, now: datetime.datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _alternative_names(name: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(
        [
            x509.UniformResourceIdentifier(f"{TRUST_DOMAIN}/{name}"),
            x509.DNSName("localhost"),
            # What a neighbour calls it where each part has an address of its own.
            x509.DNSName(name.replace("_", "-")),
            *(x509.IPAddress(ipaddress.ip_address(address)) for address in _LOOPBACK),
        ]
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _to_pem(identity: Identity) -> bytes:
    key = identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return key + identity.certificate.public_bytes(Encoding.PEM)


def _read(directory: Path, name: str) -> Identity:
    path = certificate_path(directory, name)
    try:
        pem = path.read_bytes()
        key = load_pem_private_key(pem, password=None)
        certificate = x509.load_pem_x509_certificate(pem)
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"cannot read the certificate {path}: {error}; move it away and run `slipway init`"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InvalidInput(f"the key in {path} is not of an elliptic curve; move it away, run `slipway init`")
    return Identity(key=key, certificate=certificate)
