"""Verified model bytes on disk, by digest, so that replicas start while the registry is away."""

import asyncio
import logging
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from services.inference.domain.version import Version
from slipway.registry import Registry, digest_of

log = logging.getLogger(__name__)


class ModelCache:
    """The registry's models, the latest `max_files` of them kept."""

    def __init__(self, folder: Path, registry: Registry, *, max_files: int) -> None:
        self._folder = folder
        self._registry = registry
        self._max_files = max_files

    async def load(self, version: Version) -> bytes:
        """The bytes of a version, which hash to its digest.

        Raises:
            NotFound: The registry has no such version.
            InvalidInput: The stored bytes are not what was registered.
            Unavailable: Not on disk, and the registry is away.
        """
        return await asyncio.to_thread(self._load, version)

    def _load(self, version: Version) -> bytes:
        path = self._folder / f"{version.digest}.onnx"
        kept = _read(path)
        if kept is not None:
            if digest_of(kept) == version.digest:
                with suppress(OSError):  # pruned this very moment
                    os.utime(path)
                return kept
            log.warning("a cached model was damaged, loading it anew", extra={"digest": version.digest})
        found = self._registry.find(version.model, version.version)
        onnx = self._registry.load_onnx(found, digest=version.digest)
        self._keep(path, onnx)
        return onnx

    def _keep(self, path: Path, onnx: bytes) -> None:
        """Write behind a temporary name; a full disk must not keep a model from being served."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".part", delete=False) as file:
                file.write(onnx)
            os.replace(file.name, path)
            self._prune()
        except OSError as error:
            log.warning("cannot keep a model on disk: %s", error)

    def _prune(self) -> None:
        def used_at(path: Path) -> float:
            try:
                return path.stat().st_mtime
            except FileNotFoundError:
                return 0.0

        newest_first = sorted(self._folder.glob("*.onnx"), key=used_at, reverse=True)
        for path in newest_first[self._max_files :]:
            path.unlink(missing_ok=True)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("cannot read a model from disk: %s", error)
        return None
