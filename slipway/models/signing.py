"""Who made a version, out of what, signed: the statement that is checked before anybody serves it.

The envelope is DSSE, so that other tools can verify it too. Source: secure-systems-lab/dsse,
"DSSE: Dead Simple Signing Envelope", protocol.md, v1.0; the signature is Ed25519 (RFC 8032).
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from slipway.errors import InvalidInput

PRIVATE_FILE: Final = "model_signing.key"
PUBLIC_FILE: Final = "model_signing.pub"  # a key a line, in hex: the old one stays while its versions serve
PAYLOAD_TYPE: Final = "application/vnd.slipway.version+json"
MAX_ENVELOPE_BYTES: Final = 64 * 1024
_SEED_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What is signed.

    Attributes:
        digest: SHA-256 of the ONNX, hex.
        files: SHA-256 of every other file of the version by name: the profile, the documents, the card.
        made_by: The principal who trained or registered it; whoever this is may not approve it.
        made_at: ISO 8601, UTC.
        origin: How it came here: `trained`, `registered`, or `signed later`.
        code_version: What made it.
    """

    model: str
    tenant: str
    digest: str
    files: Mapping[str, str]
    made_by: str
    made_at: str
    origin: str
    code_version: str


class Signer:
    """Holds the private key."""

    def __init__(self, secret: str) -> None:
        """Take the secret of `model_signing.key`: 32 bytes in hex.

        Raises:
            InvalidInput: It is not.
        """
        self._key = Ed25519PrivateKey.from_private_bytes(_key_bytes(secret, PRIVATE_FILE))

    @property
    def public(self) -> str:
        """The public key in hex: a line of `model_signing.pub`."""
        return self._key.public_key().public_bytes_raw().hex()

    def sign(self, statement: Statement) -> bytes:
        """The envelope of a statement."""
        payload = orjson.dumps(asdict(statement), option=orjson.OPT_SORT_KEYS)
        signature = {"keyid": _key_id(self.public), "sig": _text(self._key.sign(_encoded(payload)))}
        envelope = {"payloadType": PAYLOAD_TYPE, "payload": _text(payload), "signatures": [signature]}
        return orjson.dumps(envelope)


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Who stands for a version, and with which key."""

    signer: Signer
    made_by: str
    origin: str
    code_version: str

    def vouch(self, model: str, files: Mapping[str, bytes], *, digest: str, tenant: str) -> bytes:
        """The envelope of a version: the model's bytes by their digest, all other files by theirs."""
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        statement = Statement(
            model=model,
            tenant=tenant,
            digest=digest,
            files={name: found for name, found in hashes.items() if found != digest},
            made_by=self.made_by,
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            origin=self.origin,
            code_version=self.code_version,
        )
        return self.signer.sign(statement)


class Trust:
    """The public keys whose word counts."""

    def __init__(self, keys: Iterable[str]) -> None:
        """Take public keys in hex.

        Raises:
            InvalidInput: One is malformed, or there is none.
        """
        self._keys = {
            _key_id(k): Ed25519PublicKey.from_public_bytes(_key_bytes(k, PUBLIC_FILE)) for k in keys
        }
        if not self._keys:
            raise InvalidInput(f"{PUBLIC_FILE} holds no key; `slipway up` makes one")

    def verify(self, envelope: bytes, *, model: str, digest: str) -> Statement:
        """The statement about one model's bytes.

        Raises:
            InvalidInput: No trusted key has signed it, or it is about something else.
        """
        payload = self._payload(envelope, model)
        statement = _statement(payload, model)
        if (statement.model, statement.digest) != (model, digest):
            raise InvalidInput(
                f"the signature of model {model} is about {statement.model} with digest {statement.digest}, "
                f"not about {digest}; register the version anew"
            )
        return statement

    def _payload(self, envelope: bytes, model: str) -> bytes:
        try:
            if len(envelope) > MAX_ENVELOPE_BYTES:
                raise ValueError("too large")
            parts = orjson.loads(envelope)
            if parts["payloadType"] != PAYLOAD_TYPE:
                raise ValueError("another payload type")
            payload = base64.b64decode(parts["payload"], validate=True)
            given = [
                (str(s["keyid"]), base64.b64decode(s["sig"], validate=True)) for s in parts["signatures"]
            ]
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            raise InvalidInput(f"the signature of model {model} is malformed: {error}") from error
        if any(self._is_signed(payload, key_id, signature) for key_id, signature in given):
            return payload
        raise InvalidInput(
            f"model {model}: no trusted key has signed this version; if you know where it comes from, "
            f"`slipway models sign {model} <version>` as administrator"
        )

    def _is_signed(self, payload: bytes, key_id: str, signature: bytes) -> bool:
        key = self._keys.get(key_id)
        if key is None:
            return False
        try:
            key.verify(signature, _encoded(payload))
        except InvalidSignature:
            return False
        return True


def read_trust(secrets_dir: Path) -> Trust:
    """The keys of `model_signing.pub`.

    Raises:
        InvalidInput: The file is missing, empty or malformed.
    """
    path = secrets_dir / PUBLIC_FILE
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}; `slipway up` creates it") from error
    return Trust(line.split()[0] for line in lines if line.strip() and not line.startswith("#"))


def _encoded(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: type and payload cannot be moved into one another."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _statement(payload: bytes, model: str) -> Statement:
    try:
        values: dict[str, Any] = orjson.loads(payload)
        return Statement(**{field.name: values[field.name] for field in fields(Statement)})
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise InvalidInput(f"the signed statement of model {model} lacks {error}") from error


def _key_bytes(text: str, name: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError as error:
        raise InvalidInput(f"{name} does not hold hexadecimal digits") from error
    if len(key) != _SEED_BYTES:
        raise InvalidInput(f"{name} holds {len(key)} bytes, wanted are {_SEED_BYTES}")
    return key


def _key_id(public: str) -> str:
    return hashlib.sha256(public.lower().encode()).hexdigest()[:16]


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
