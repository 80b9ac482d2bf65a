"""Verified model bytes on disk, by digest, so that replicas start while the registry is away.

Verified means: they hash to the arm's digest, and a trusted key has signed that digest and all that
was registered with it. The signature is kept beside the bytes and checked at every load, so that a key
that is no longer trusted is felt at once.
"""

import asyncio
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from services.inference import metrics
from services.inference.domain.version import Version
from slipway.errors import InvalidInput
from slipway.models.provenance import check_version
from slipway.models.signing import Trust
from slipway.registry import RegisteredVersion, Registry, digest_of

log = logging.getLogger(__name__)


class ModelCache:
    """The registry's models, the latest `max_files` of them kept."""

    def __init__(self, folder: Path, registry: Registry, *, trust: Trust | None, max_files: int) -> None:
        """Keep files in a folder. Without `trust` unsigned versions are served, as an operator has asked."""
        self._folder = folder
        self._registry = registry
        self._trust = trust
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
                self._verify_kept(version)
                with suppress(OSError):  # pruned this very moment
                    os.utime(path)
                return kept
            log.warning("a cached model was damaged, loading it anew", extra={"digest": version.digest})
        found = self._registry.find(version.model, version.version)
        onnx = self._registry.load_onnx(found, digest=version.digest)
        self._verify(version, found)
        self._keep(path, onnx)
        return onnx

    def _verify_kept(self, version: Version) -> None:
        if self._trust is None:
            return
        envelope = _read(self._envelope(version))
        if envelope is None:
            self._verify(version, self._registry.find(version.model, version.version))
            return
        with _counted(version):
            self._trust.verify(envelope, model=version.model, digest=version.digest)

    def _verify(self, version: Version, found: RegisteredVersion) -> None:
        if self._trust is None:
            log.warning(
                "served without a look at its signature",
                extra={"model": version.model, "version": found.version},
            )
            return
        with _counted(version):
            envelope = check_version(self._registry, found, trust=self._trust, digest=version.digest)
        self._keep(self._envelope(version), envelope)

    def _envelope(self, version: Version) -> Path:
        # Two models may share their bytes; what is signed names one of them.
        return self._folder / f"{version.digest}.{digest_of(version.model.encode())[:16]}.signature"

    def _keep(self, path: Path, content: bytes) -> None:
        """Write behind a temporary name; a full disk must not keep a model from being served."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".part", delete=False) as file:
                file.write(content)
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
            for file in self._folder.glob(f"{path.stem}.*"):
                file.unlink(missing_ok=True)


@contextmanager
def _counted(version: Version) -> Iterator[None]:
    try:
        yield
    except InvalidInput:
        metrics.SIGNATURES_REFUSED.labels(version.model).inc()
        raise


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("cannot read a model from disk: %s", error)
        return None
