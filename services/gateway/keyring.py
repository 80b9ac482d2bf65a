"""All API keys in memory, so that a prediction asks no database."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import orjson

from services.gateway import metrics
from services.gateway.changes import Changes
from services.gateway.domain.api_keys import ApiKey, caller_of, identify
from slipway.errors import Unauthenticated
from slipway.identity.caller import Caller

SNAPSHOT: Final = "keys.json"


class KeyRing:
    """The keys in force; revoked ones are not among them."""

    def __init__(self, pepper: bytes) -> None:
        self.pepper = pepper
        self.changes = Changes()
        self.is_loaded = False
        self._keys: dict[str, ApiKey] = {}
        self._recognised: dict[str, Caller] = {}  # by the key's whole text, so that its HMAC is made once

    def identify(self, text: str) -> Caller:
        """Find whom the key that `text` is stands for.

        Raises:
            Unauthenticated: It is none.
        """
        known = self._recognised.get(text)
        if known is not None:
            return known
        if not self.is_loaded:
            raise Unauthenticated("no API keys are loaded yet: the gateway waits for PostgreSQL")
        caller = self._recognised[text] = caller_of(identify(text, self._keys, pepper=self.pepper))
        return caller

    def replace(self, keys: Iterable[ApiKey]) -> None:
        """Put these keys in place of all others."""
        self._keys = {key.key_id: key for key in keys}
        self._recognised = {}
        self.is_loaded = True
        metrics.KEYS.set(len(self._keys))
        self.changes.notify()

    def dump(self) -> bytes | None:
        """Ids, owners and HMACs: nothing that opens anything."""
        if not self.is_loaded:
            return None
        return orjson.dumps(
            [
                {"key_id": k.key_id, "principal": k.principal, "tenant": k.tenant, "mac": k.mac.hex()}
                for k in self._keys.values()
            ]
        )

    def restore(self, state_dir: Path) -> None:
        """Take the keys of the snapshot, if there is one."""
        path = state_dir / SNAPSHOT
        if path.is_file():
            entries = orjson.loads(path.read_bytes())
            self.replace(ApiKey(**{**entry, "mac": bytes.fromhex(entry["mac"])}) for entry in entries)
