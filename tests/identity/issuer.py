"""An issuer of tokens, and an authority of certificates, as a test wants them."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from jwt.api_jws import PyJWS

ISSUER = "https://login.acme.example"
AUDIENCE = "slipway"
NOW_S = 1_800_000_000.0
YAML = f"""
issuers:
  - issuer: {ISSUER}
    audience: {AUDIENCE}
    algorithms: [ES256, RS256]
    SOURCE
    principal: {{claim: sub, prefix: "acme:"}}
    tenant: {{claim: org, allowed: [acme]}}
    roles: {{claim: [realm, groups], map: {{ml-apps: app, ml-owners: owner}}}}
"""
FROM_FILE = YAML.replace("SOURCE", "jwks_file: jwks/acme.json")
FROM_URL = YAML.replace("SOURCE", f"jwks_url: {ISSUER}/keys\n    stale_after_s: 3600")


@cache
def ec_key(name: str = "ec-1") -> ec.EllipticCurvePrivateKey:
    """A key of its own for each name."""
    return ec.generate_private_key(ec.SECP256R1())


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def jwk(name: str) -> dict[str, Any]:
    """The public half of a key, as the issuer publishes it."""
    if name.startswith("rsa"):
        found: dict[str, Any] = RSAAlgorithm.to_jwk(rsa_key().public_key(), as_dict=True)
    else:
        found = ECAlgorithm.to_jwk(ec_key(name).public_key(), as_dict=True)
    return {**found, "kid": name, "use": "sig"}


def jwks(*names: str) -> bytes:
    return json.dumps({"keys": [jwk(name) for name in names]}).encode()


def claims(**changes: Any) -> dict[str, Any]:
    """Those of an honest token; None leaves one out."""
    honest = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "shop",
        "org": "acme",
        "realm": {"groups": ["ml-apps", "staff"]},
        "iat": NOW_S - 5,
        "exp": NOW_S + 300,
    }
    return {name: value for name, value in {**honest, **changes}.items() if value is not None}


def token(said: dict[str, Any] | None = None, *, key: str = "ec-1", **header: Any) -> str:
    """A token that the issuer's key has signed."""
    private, algorithm = (rsa_key(), "RS256") if key.startswith("rsa") else (ec_key(key), "ES256")
    head = {"kid": key, "typ": "JWT", **header}
    algorithm = head.pop("alg", algorithm)
    payload = json.dumps(claims() if said is None else said).encode()
    return PyJWS().encode(payload, private, algorithm=algorithm, headers=head)


def part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned(header: dict[str, Any], said: dict[str, Any] | None = None, signature: bytes = b"") -> str:
    """A token put together by hand."""
    head = part(json.dumps(header).encode())
    return f"{head}.{part(json.dumps(claims() if said is None else said).encode())}.{part(signature)}"


def with_header(**header: Any) -> str:
    """A token that the issuer's own key has signed over a header of the attacker's."""
    head = part(json.dumps({"alg": "ES256", "kid": "ec-1", "typ": "JWT", **header}).encode())
    signing = f"{head}.{part(json.dumps(claims()).encode())}"
    r, s = decode_dss_signature(ec_key().sign(signing.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signing}.{part(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def by_hmac(secret: bytes, **header: Any) -> str:
    head = {"alg": "HS256", "kid": "ec-1", "typ": "JWT", **header}
    text = unsigned(head).rpartition(".")[0]
    return f"{text}.{part(hmac.digest(secret, text.encode(), hashlib.sha256))}"


def public_pem(key: Any) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    found: bytes = key.public_key().public_bytes(serialization.Encoding.PEM, form)
    return found


def private_pem(key: Any) -> bytes:
    found: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return found


class Authority:
    """Signs certificates."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        builder = self._builder(self._name, self._key.public_key(), valid_s=3600.0)
        self.certificate = builder.add_extension(constraints, critical=True).sign(self._key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self, subject: str = "somebody", *, uris: Any = (), dns: Any = (), valid_s: float = 3600.0
    ) -> tuple[bytes, bytes]:
        """A certificate and its key, in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])
        builder = self._builder(name, key.public_key(), valid_s=valid_s)
        names = [*map(x509.UniformResourceIdentifier, uris), *map(x509.DNSName, dns)]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        it = builder.sign(self._key, hashes.SHA256())
        return it.public_bytes(serialization.Encoding.PEM), private_pem(key)

    def _builder(self, name: x509.Name, key: Any, *, valid_s: float) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(seconds=valid_s))
        )
