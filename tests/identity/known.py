"""Authenticators for tests: with the keys and the files that a test gives them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slipway.clock import Clock, SystemClock
from slipway.identity import access_file
from slipway.identity.access_file import Access
from slipway.identity.authenticator import Authenticator
from slipway.identity.credentials import Credentials
from slipway.identity.key_book import KeyBook
from slipway.identity.key_sets import KeySets
from slipway.watched_files import WatchedFiles

NOWHERE = Path("/dev/null")


def authenticator_of(
    book: KeyBook,
    *,
    folder: Path = NOWHERE,
    clock: Clock | None = None,
    fetch: Any = None,
    operator_token: str = "",
) -> Authenticator:
    """One that knows these keys, and the issuers of the folder's files."""
    return parts_of(book, folder=folder, clock=clock, fetch=fetch, operator_token=operator_token)[0]


def parts_of(
    book: KeyBook,
    *,
    folder: Path = NOWHERE,
    clock: Clock | None = None,
    fetch: Any = None,
    operator_token: str = "",
) -> tuple[Authenticator, WatchedFiles[Access], KeySets]:
    """The same, with what stands behind it."""
    clock = clock or SystemClock()
    access = WatchedFiles(folder, access_file.PATTERNS, parse=access_file.parse)
    keys = KeySets(lambda: access.current.issuers, clock=clock, fetch=fetch)
    return (
        Authenticator(book, access, key_sets=keys, clock=clock, operator_token=operator_token),
        access,
        keys,
    )


def bearer(text: str) -> Credentials:
    return Credentials(authorization=f"Bearer {text}")


def write(folder: Path, files: Mapping[str, bytes | str]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
