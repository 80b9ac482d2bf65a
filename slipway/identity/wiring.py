"""How a service learns whom to recognise: wired in one place, the same in all of them."""

import asyncio
import os
from functools import partial
from pathlib import Path
from typing import NamedTuple

from slipway.clock import SystemClock
from slipway.compacted import read_compacted
from slipway.identity import access_file, key_book, key_sets
from slipway.identity.access_file import Access
from slipway.identity.api_keys import PEPPER_FILE, check_pepper
from slipway.identity.authenticator import Authenticator
from slipway.identity.key_book import KeyBook
from slipway.identity.key_sets import KeySets
from slipway.process import Process
from slipway.rpc import OPERATOR_TOKEN_FILE
from slipway.settings import ServiceSettings
from slipway.snapshots import Snapshot
from slipway.topics import IDENTITIES
from slipway.watched_files import WatchedFiles


class Issuers(NamedTuple):
    """Who else than the gateway issues credentials."""

    access: WatchedFiles[Access]
    key_sets: KeySets


def follow_issuers(process: Process, settings: ServiceSettings) -> Issuers:
    """Read `issuers.yaml` and the issuers' keys, and go on doing so.

    Raises:
        InvalidInput: The file makes no sense.
    """
    # Without a folder nothing is read, and nobody else issues anything.
    folder = Path(settings.access_dir or os.devnull)
    access = WatchedFiles(folder, access_file.PATTERNS, parse=access_file.parse)
    keys = KeySets(lambda: access.current.issuers, clock=SystemClock())
    keys.restore(settings.state_dir)
    snapshot = Snapshot(path=settings.state_dir / key_sets.SNAPSHOT, changes=keys.changes, dump=keys.dump)
    process.spawn("issuers", access.run)
    process.spawn("issuers' keys", keys.run)
    process.spawn(f"snapshot {key_sets.SNAPSHOT}", snapshot.keep)
    return Issuers(access, keys)


def follow_keys(process: Process, settings: ServiceSettings) -> KeyBook:
    """Read the API keys from the topic that the gateway tells of them; at first from the last snapshot.

    Raises:
        InvalidInput: The pepper is missing or too short.
    """
    book = KeyBook(check_pepper(settings.secret(PEPPER_FILE)))
    book.restore(settings.state_dir)
    caught_up = asyncio.Event()

    async def note_complete(stop: asyncio.Event) -> None:
        waits = {asyncio.ensure_future(caught_up.wait()), asyncio.ensure_future(stop.wait())}
        _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in pending:
            wait.cancel()
        if caught_up.is_set():
            book.note_complete()

    follow = partial(
        read_compacted, settings.kafka_bootstrap, IDENTITIES.name, book.apply, caught_up=caught_up
    )
    snapshot = Snapshot(path=settings.state_dir / key_book.SNAPSHOT, changes=book.changes, dump=book.dump)
    process.spawn(IDENTITIES.name, follow)
    process.spawn("API keys known", note_complete)
    process.spawn(f"snapshot {key_book.SNAPSHOT}", snapshot.keep)
    process.ready_when("API keys", lambda: book.is_loaded)
    return book


def operators_authenticator(settings: ServiceSettings, keys: KeyBook, *, issuers: Issuers) -> Authenticator:
    """Who calls a port that is for operators and services alone: the stack's own token opens there, too."""
    return Authenticator(
        keys,
        issuers.access,
        key_sets=issuers.key_sets,
        clock=SystemClock(),
        operator_token=settings.secret(OPERATOR_TOKEN_FILE),
    )


def public_authenticator(keys: KeyBook, *, issuers: Issuers) -> Authenticator:
    """Who calls a port that anybody reaches."""
    return Authenticator(keys, issuers.access, key_sets=issuers.key_sets, clock=SystemClock())


def add_identity(process: Process, settings: ServiceSettings) -> tuple[Authenticator, KeyBook]:
    """Recognise callers in a service that is told of keys by the gateway.

    Raises:
        InvalidInput: What it needs is missing or makes no sense.
    """
    keys, issuers = follow_keys(process, settings), follow_issuers(process, settings)
    return operators_authenticator(settings, keys, issuers=issuers), keys
