"""Only what a trusted key has signed, about these very bytes, is believed."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from slipway.errors import InvalidInput
from slipway.models.signing import PUBLIC_FILE, Maker, Signer, Trust, read_trust
from slipway.stack.credentials import make_secrets, publish_signing_key

SIGNER = Signer("11" * 32)
TRUST = Trust([SIGNER.public])
DIGEST = "ab" * 32


def _envelope(signer: Signer = SIGNER) -> bytes:
    maker = Maker(signer=signer, made_by="ann", origin="registered", code_version="slipway 1")
    return maker.vouch("m", {"model.onnx": b"", "profile.pb": b"profile"}, digest=DIGEST, tenant="t")


def test_a_signed_version_says_who_made_it_out_of_what() -> None:
    statement = TRUST.verify(_envelope(), model="m", digest=DIGEST)
    assert (statement.made_by, statement.tenant, statement.origin) == ("ann", "t", "registered")
    assert set(statement.files) == {"model.onnx", "profile.pb"}


@pytest.mark.parametrize(
    ("model", "digest"), [("other", DIGEST), ("m", "cd" * 32)], ids=["another model", "other bytes"]
)
def test_a_signature_cannot_be_moved_to_something_else(model: str, digest: str) -> None:
    with pytest.raises(InvalidInput, match="is about m with digest"):
        TRUST.verify(_envelope(), model=model, digest=digest)


def test_the_signature_of_a_strange_key_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no trusted key has signed"):
        TRUST.verify(_envelope(Signer("22" * 32)), model="m", digest=DIGEST)


def _made_by_another(parts: dict[str, Any]) -> None:
    payload = orjson.loads(base64.b64decode(parts["payload"]))
    payload["made_by"] = "eve"
    parts["payload"] = base64.b64encode(orjson.dumps(payload)).decode()


def _no_signature(parts: dict[str, Any]) -> None:
    parts["signatures"] = []


def _another_key_id(parts: dict[str, Any]) -> None:
    parts["signatures"][0]["keyid"] = "0" * 16


def _another_type(parts: dict[str, Any]) -> None:
    parts["payloadType"] = "text/plain"


def _no_base64(parts: dict[str, Any]) -> None:
    parts["payload"] = "%%%"


def _texts_for_lists(parts: dict[str, Any]) -> None:
    parts["signatures"] = "none"


@pytest.mark.parametrize(
    "change",
    [_made_by_another, _no_signature, _another_key_id, _another_type, _no_base64, _texts_for_lists],
)
def test_a_changed_envelope_is_refused(change: Callable[[dict[str, Any]], None]) -> None:
    parts = orjson.loads(_envelope())
    change(parts)
    with pytest.raises(InvalidInput):
        TRUST.verify(orjson.dumps(parts), model="m", digest=DIGEST)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{", bytes(70_000)])
def test_what_is_no_envelope_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput, match="malformed"):
        TRUST.verify(content, model="m", digest=DIGEST)


def test_a_statement_without_its_fields_is_refused() -> None:
    short = orjson.loads(_envelope())
    payload = orjson.dumps({"model": "m"})
    kind = b"application/vnd.slipway.version+json"
    encoded = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    signature = Ed25519PrivateKey.from_private_bytes(bytes.fromhex("11" * 32)).sign(encoded)
    short["payload"] = base64.b64encode(payload).decode()
    short["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    with pytest.raises(InvalidInput, match="lacks"):
        TRUST.verify(orjson.dumps(short), model="m", digest=DIGEST)


@pytest.mark.parametrize("key", ["", "zz" * 32, "11" * 31])
def test_malformed_keys_are_refused(key: str) -> None:
    for make in (Signer, lambda k: Trust([k])):
        with pytest.raises(InvalidInput, match="model_signing"):
            make(key)


def test_the_stack_publishes_the_key_and_an_old_one_stays_trusted(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot read"):
        read_trust(tmp_path)
    (tmp_path / PUBLIC_FILE).write_text(f"# of last year\n{SIGNER.public}\n")
    make_secrets(tmp_path, names=["model_signing.key"])
    publish_signing_key(tmp_path)
    publish_signing_key(tmp_path)
    assert len((tmp_path / PUBLIC_FILE).read_text().splitlines()) == 3
    new = Signer((tmp_path / "model_signing.key").read_text())
    for signer in (SIGNER, new):
        assert read_trust(tmp_path).verify(_envelope(signer), model="m", digest=DIGEST).made_by == "ann"


def test_a_file_of_keys_that_holds_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / PUBLIC_FILE).write_text("# none yet\n")
    with pytest.raises(InvalidInput, match="holds no key"):
        read_trust(tmp_path)
