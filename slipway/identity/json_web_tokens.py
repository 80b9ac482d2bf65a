"""JSON Web Tokens (RFC 7519): verified with an issuer's keys, strictly, and turned into a caller.

What is refused beyond what the standard asks: headers that bring or name a key of their own (jku, jwk, x5u,
x5c), every critical extension (RFC 7515, 4.1.11), and tokens without aud, iss or exp (RFC 8725, 3.8, 3.9).
"""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt
import orjson
from jwt.api_jws import PyJWS

from slipway.errors import InvalidInput, Unauthenticated
from slipway.identity.access_file import Issuer
from slipway.identity.api_keys import check_name, check_principal
from slipway.identity.caller import Caller
from slipway.identity.json_web_keys import VerificationKey

MAX_CHARACTERS: Final = 8 * 1024
_LONGEST_KEY_ID: Final = 256
_FORBIDDEN: Final = ("crit", "jku", "jwk", "x5u", "x5c", "b64", "zip", "enc")
_TOKEN_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_JWS: Final = PyJWS(options={"verify_signature": True, "enforce_minimum_key_length": True})


@dataclass(frozen=True, slots=True, kw_only=True)
class Unverified:
    """What a token says of itself; believed for nothing but to find the key that can verify it."""

    token: str
    algorithm: str
    key_id: str
    issuer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """Whom a token stands for, and until when."""

    caller: Caller
    expires_at_s: float


def open_token(token: str) -> Unverified:
    """Read a token's header and issuer.

    Raises:
        Unauthenticated: Not a signed token, or one that asks for something that is not done here.
    """
    if len(token) > MAX_CHARACTERS:
        raise Unauthenticated(f"the token has over {MAX_CHARACTERS} characters")
    header, claims = _parts(token)
    for name in _FORBIDDEN:
        if name in header:
            raise Unauthenticated(f"the token's header has {name!r}, which is not taken here")
    algorithm, key_id, issuer = header.get("alg"), header.get("kid", ""), claims.get("iss")
    if not isinstance(key_id, str) or len(key_id) > _LONGEST_KEY_ID:
        raise Unauthenticated("the token's `kid` is not the id of a key")
    if not isinstance(algorithm, str) or not isinstance(issuer, str):
        raise Unauthenticated("the token has no `alg` or no `iss`")
    return Unverified(token=token, algorithm=algorithm, key_id=key_id, issuer=issuer)


def _parts(token: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Header and claims, not verified."""
    try:
        parts = _JWS.decode_complete(token, options={"verify_signature": False})
        header, claims = parts["header"], orjson.loads(parts["payload"])
    except (jwt.PyJWTError, ValueError) as error:
        raise Unauthenticated("the token is not a JSON Web Token in compact form") from error
    if not isinstance(claims, dict):
        raise Unauthenticated("the token's claims are not an object")
    return header, claims


def verify(it: Unverified, issuer: Issuer, key: VerificationKey, *, now_s: float) -> Verified:
    """Verify the signature, then everything else.

    Args:
        it: The token.
        issuer: Whose it says to be.
        key: The issuer's key of that id.
        now_s: The present time.
    Raises:
        Unauthenticated: It must not be believed; says why, and never repeats the token.
    """
    if it.algorithm not in issuer.algorithms or it.algorithm not in key.algorithms:
        raise Unauthenticated(f"tokens of {issuer.issuer} are not signed by {it.algorithm[:20]!r}")
    try:
        parts = _JWS.decode_complete(it.token, key.by_algorithm[it.algorithm], algorithms=[it.algorithm])
    except jwt.PyJWTError as error:
        raise Unauthenticated(f"the token's signature is not of {issuer.issuer}") from error
    _check_type(parts["header"].get("typ"), issuer)
    claims = orjson.loads(parts["payload"])
    expires_at_s = _check_claims(claims, issuer, now_s=now_s)
    caller = Caller(
        principal=_principal(claims, issuer),
        tenant=_tenant(claims, issuer),
        roles=_roles(claims, issuer),
        method="jwt",
        credential_id=_credential_id(claims, it),
    )
    return Verified(caller=caller, expires_at_s=expires_at_s)


def _check_type(kind: Any, issuer: Issuer) -> None:
    """RFC 8725, 3.11: a token made for something else is not one for us."""
    if kind is None and "JWT" in issuer.types:
        return
    text = str(kind).lower().removeprefix("application/")
    if text not in {name.lower() for name in issuer.types}:
        raise Unauthenticated(f"the token is of type {str(kind)[:40]!r}, not {' or '.join(issuer.types)}")


def _check_claims(claims: Mapping[str, Any], issuer: Issuer, *, now_s: float) -> float:
    audience = claims.get("aud")
    listed = audience if isinstance(audience, list) else [audience]
    if issuer.audience not in [name for name in listed if isinstance(name, str)]:
        raise Unauthenticated(f"the token's audience is not {issuer.audience!r}")
    if claims.get("iss") != issuer.issuer:
        raise Unauthenticated(f"the token's issuer is not {issuer.issuer!r}")
    expires_at_s = _time(claims, "exp")
    if expires_at_s is None:
        raise Unauthenticated("the token has no `exp`: it would last for ever")
    if now_s >= expires_at_s + issuer.leeway_s:
        raise Unauthenticated("the token has expired")
    for name in ("nbf", "iat"):
        at_s = _time(claims, name)
        if at_s is not None and now_s < at_s - issuer.leeway_s:
            raise Unauthenticated(f"the token is not valid yet: its `{name}` is in the future")
    return expires_at_s + issuer.leeway_s


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Unauthenticated(f"the token's `{name}` is not a time")
    return float(value)


def _principal(claims: Mapping[str, Any], issuer: Issuer) -> str:
    value = _claim(claims, issuer.principal.claim)
    if not isinstance(value, str) or not value:
        raise Unauthenticated(f"the token has no text in {'.'.join(issuer.principal.claim)}")
    try:
        return check_principal(issuer.principal.prefix + value)
    except InvalidInput as error:
        raise Unauthenticated(f"the token's principal cannot be taken: {error}") from error


def _tenant(claims: Mapping[str, Any], issuer: Issuer) -> str:
    if issuer.tenant.claim is None:
        return issuer.tenant.fixed
    value = _claim(claims, issuer.tenant.claim)
    if not isinstance(value, str) or value not in issuer.tenant.allowed:
        raise Unauthenticated(f"{issuer.issuer} may not name this tenant")
    return check_name("tenant", value)


def _roles(claims: Mapping[str, Any], issuer: Issuer) -> tuple[str, ...]:
    values = _claim(claims, issuer.roles.claim) if issuer.roles.claim else ()
    listed = values if isinstance(values, list | tuple) else [values]
    mapped = {
        issuer.roles.map[value] for value in listed if isinstance(value, str) and value in issuer.roles.map
    }
    return tuple(sorted(mapped | set(issuer.roles.always)))


def _claim(claims: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = claims
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _credential_id(claims: Mapping[str, Any], it: Unverified) -> str:
    """The issuer, and the token's own id where it has one that a record can carry, else a digest of it."""
    own = claims.get("jti")
    if isinstance(own, str) and _TOKEN_ID.fullmatch(own):
        return f"{it.issuer}#{own}"
    return f"{it.issuer}#sha256:{hashlib.sha256(it.token.encode()).hexdigest()[:32]}"
