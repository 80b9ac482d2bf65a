"""The keys that an issuer publishes (RFC 7517), and which of them may verify what."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt
import orjson

from slipway.errors import InvalidInput

MAX_BYTES: Final = 256 * 1024
_MOST_KEYS: Final = 64
_SHORTEST_RSA_BITS: Final = 2048
_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_BY_CURVE: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}
ALGORITHMS: Final = (*sorted(_RSA), *_BY_CURVE.values())
"""All that there are here: of asymmetric keys alone, so that no published key is anybody's secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationKey:
    """A public key, and what it may be used for, whatever a token says."""

    algorithms: frozenset[str]
    by_algorithm: Mapping[str, jwt.PyJWK]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySet:
    """The usable keys of an issuer, by their ids; one without an id is under the empty one."""

    keys: Mapping[str, VerificationKey]

    def find(self, key_id: str) -> VerificationKey | None:
        """The key of an id; without one, the only key that there is."""
        if not key_id and len(self.keys) == 1:
            return next(iter(self.keys.values()))
        return self.keys.get(key_id)


def read_keys(data: bytes, algorithms: Collection[str]) -> KeySet:
    """Read a JSON Web Key Set; keys that none of the pinned algorithms could use are left out.

    Raises:
        InvalidInput: Not a key set, or nothing in it is of use.
    """
    if len(data) > MAX_BYTES:
        raise InvalidInput(f"the key set has over {MAX_BYTES} bytes")
    try:
        document = orjson.loads(data)
        entries = document["keys"]
    except (orjson.JSONDecodeError, TypeError, KeyError) as error:
        raise InvalidInput("not a JSON Web Key Set: an object with the list `keys`") from error
    if not isinstance(entries, list) or len(entries) > _MOST_KEYS:
        raise InvalidInput(f"`keys` is not a list of at most {_MOST_KEYS} keys")
    keys: dict[str, VerificationKey] = {}
    for entry in entries:
        key = _key(entry, algorithms) if isinstance(entry, dict) else None
        if key is not None:
            key_id = entry.get("kid", "")
            if key_id in keys:
                raise InvalidInput(f"the key id {str(key_id)[:60]!r} stands there twice")
            keys[key_id] = key
    if not keys:
        raise InvalidInput(f"no key in it is for signatures by {', '.join(sorted(algorithms))}")
    return KeySet(keys=keys)


def _key(entry: Mapping[str, Any], pinned: Collection[str]) -> VerificationKey | None:
    if entry.get("use", "sig") != "sig" or not isinstance(entry.get("kid", ""), str):
        return None
    fitting = _fitting(entry)
    named = entry.get("alg")
    algorithms = frozenset(a for a in fitting if a in pinned and named in (None, a))
    try:
        by_algorithm = {a: jwt.PyJWK(dict(entry), algorithm=a) for a in algorithms}
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if not algorithms or not _is_strong(by_algorithm):
        return None
    return VerificationKey(algorithms=algorithms, by_algorithm=by_algorithm)


def _fitting(entry: Mapping[str, Any]) -> Collection[str]:
    """The algorithms that a key of this type and curve is for."""
    if entry.get("kty") == "RSA":
        return _RSA
    if entry.get("kty") in ("EC", "OKP"):
        algorithm = _BY_CURVE.get(str(entry.get("crv")))
        return () if algorithm is None else (algorithm,)
    return ()


def _is_strong(keys: Mapping[str, jwt.PyJWK]) -> bool:
    bits = (getattr(key.key, "key_size", _SHORTEST_RSA_BITS) for name, key in keys.items() if name in _RSA)
    return all(size >= _SHORTEST_RSA_BITS for size in bits)
