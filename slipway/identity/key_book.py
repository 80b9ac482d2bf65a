"""All API keys in memory, so that a call asks no database who it comes from."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import orjson

from slipway.changes import Changes
from slipway.envelope import Event
from slipway.errors import Unauthenticated
from slipway.identity.api_keys import ApiKey, identify
from slipway.v1.identities_pb2 import IdentityChanged

SNAPSHOT: Final = "keys.json"


class KeyBook:
    """The keys that are not revoked; whether one has expired is judged each time."""

    def __init__(self, pepper: bytes, *, note_count: Callable[[int], Any] = lambda _: None) -> None:
        """Args: `note_count` is told how many keys there are."""
        self.pepper = pepper
        self.changes = Changes()
        self.is_loaded = False
        self._keys: dict[str, ApiKey] = {}
        self._revisions: dict[str, int] = {}  # of revoked keys too: nothing older brings them back
        self._note_count = note_count

    def find(self, text: str, *, now_s: float) -> ApiKey:
        """The key that `text` is.

        Raises:
            Unauthenticated: It is none.
        """
        if not self.is_loaded:
            raise Unauthenticated("no API keys are loaded yet: this service still waits to be told of them")
        return identify(text, self._keys, pepper=self.pepper, now_s=now_s)

    def names_with(self, role: str, *, now_s: float) -> list[str]:
        """Who carries a role, in order, by keys that have not expired."""
        keys = self._keys.values()
        alive = (key for key in keys if key.expires_at_s is None or now_s < key.expires_at_s)
        return sorted({key.principal for key in alive if role in key.roles})

    def replace(self, keys: Iterable[ApiKey]) -> None:
        """Put these keys in place of all others."""
        self._keys = {key.key_id: key for key in keys}
        self._told()

    def apply(self, event: Event) -> None:
        """Take one record of the topic `identities`; what is older than what is known changes nothing."""
        told: IdentityChanged = event.message
        if told.revision < self._revisions.get(told.key_id, 0):
            return
        self._revisions[told.key_id] = told.revision
        if told.HasField("revoked_at"):
            self._keys.pop(told.key_id, None)
        else:
            self._keys[told.key_id] = _key_of(told)
        self._told()

    def note_complete(self) -> None:
        """All there is has been told, be it nothing."""
        if not self.is_loaded:
            self._told()

    def _told(self) -> None:
        self.is_loaded = True
        self._note_count(len(self._keys))
        self.changes.notify()

    def dump(self) -> bytes | None:
        """Ids, owners and HMACs: nothing that opens anything."""
        if not self.is_loaded:
            return None
        return orjson.dumps(
            {
                "keys": [_plain(key) for key in self._keys.values()],
                "revisions": self._revisions,
            }
        )

    def restore(self, state_dir: Path) -> None:
        """Take the keys of the snapshot, if there is one."""
        path = state_dir / SNAPSHOT
        if path.is_file():
            document = orjson.loads(path.read_bytes())
            # Earlier versions kept the bare list.
            kept: dict[str, Any] = {"keys": document} if isinstance(document, list) else document
            self._revisions = kept.get("revisions", {})
            self.replace(_from_plain(entry) for entry in kept["keys"])


def _key_of(told: IdentityChanged) -> ApiKey:
    return ApiKey(
        key_id=told.key_id,
        principal=told.principal,
        tenant=told.tenant,
        mac=told.mac,
        roles=tuple(told.roles),
        expires_at_s=told.expires_at.ToNanoseconds() / 1e9 if told.HasField("expires_at") else None,
    )


def _plain(key: ApiKey) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "principal": key.principal,
        "tenant": key.tenant,
        "mac": key.mac.hex(),
        "roles": key.roles,
        "expires_at_s": key.expires_at_s,
    }


def _from_plain(entry: dict[str, Any]) -> ApiKey:
    roles = {"roles": tuple(entry["roles"])} if "roles" in entry else {}
    return ApiKey(**{**entry, **roles, "mac": bytes.fromhex(entry["mac"])})
