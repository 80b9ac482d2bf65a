"""Model bytes survive the registry, and nothing damaged is handed out."""

import os
from pathlib import Path

import pytest

from services.inference.domain.version import Version
from services.inference.model_cache import ModelCache
from slipway.errors import InvalidInput, NotFound, Unavailable
from slipway.models.signing import Maker, Signer, Trust
from slipway.registry import SIGNATURE_FILE, RegisteredVersion, digest_of

SIGNER = Signer("11" * 32)
TRUST = Trust([SIGNER.public])


class MemoryRegistry:
    """Versions by number: the bytes are `model <n>`, the other files are those of `files`."""

    def __init__(self) -> None:
        self.is_away = False
        self.loads = 0
        self.signer: Signer | None = SIGNER
        self.files = {"profile.pb": b"profile"}

    def load_file(self, version: RegisteredVersion, name: str) -> bytes:
        if self.is_away:
            raise Unavailable("away")
        if name == SIGNATURE_FILE and self.signer is not None:
            maker = Maker(signer=self.signer, made_by="ann", origin="registered", code_version="1")
            digest = digest_of(f"model {version.version}".encode())
            return maker.vouch("m", {"profile.pb": b"profile"}, digest=digest, tenant="t")
        if name not in self.files:
            raise NotFound(name)
        return self.files[name]

    def find(self, model: str, version: str) -> RegisteredVersion:
        if self.is_away:
            raise Unavailable("away")
        return RegisteredVersion(model=model, version=version, digest="", run_id="")

    def load_onnx(self, version: RegisteredVersion, *, digest: str) -> bytes:
        self.loads += 1
        onnx = f"model {version.version}".encode()
        if digest_of(onnx) != digest:
            raise InvalidInput("changed")
        return onnx


def _version(number: int) -> Version:
    return Version(model="m", version=str(number), digest=digest_of(f"model {number}".encode()))


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry()


@pytest.fixture
def cache(tmp_path: Path, registry: MemoryRegistry) -> ModelCache:
    return _cache(tmp_path, registry)


def _cache(folder: Path, registry: MemoryRegistry, *, trust: Trust | None = TRUST) -> ModelCache:
    return ModelCache(folder / "models", registry, trust=trust, max_files=2)  # type: ignore[arg-type]


async def test_a_model_once_loaded_needs_no_registry(cache: ModelCache, registry: MemoryRegistry) -> None:
    assert await cache.load(_version(1)) == b"model 1"
    registry.is_away = True
    assert await cache.load(_version(1)) == b"model 1"
    with pytest.raises(Unavailable):
        await cache.load(_version(2))


async def test_a_damaged_file_is_loaded_anew(
    cache: ModelCache, registry: MemoryRegistry, tmp_path: Path
) -> None:
    await cache.load(_version(1))
    (kept,) = (tmp_path / "models").glob("*.onnx")
    kept.write_bytes(b"half a mod")
    assert await cache.load(_version(1)) == b"model 1"
    assert registry.loads == 2
    assert kept.read_bytes() == b"model 1"


async def test_what_the_registry_refuses_is_not_kept(cache: ModelCache, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="changed"):
        await cache.load(Version(model="m", version="1", digest="0" * 64))
    assert not (tmp_path / "models").exists()


async def test_the_least_used_goes_first(cache: ModelCache, registry: MemoryRegistry, tmp_path: Path) -> None:
    for number in (1, 2):
        await cache.load(_version(number))
        os.utime(tmp_path / "models" / f"{_version(number).digest}.onnx", (number, number))
    await cache.load(_version(1))  # used again: now the newest
    await cache.load(_version(3))
    registry.is_away = True
    assert await cache.load(_version(1)) == b"model 1"
    with pytest.raises(Unavailable):
        await cache.load(_version(2))


async def test_a_disk_that_cannot_be_written_does_not_stop_serving(
    registry: MemoryRegistry, tmp_path: Path
) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")
    cache = _cache(tmp_path / "models" / "deeper", registry)
    assert await cache.load(_version(1)) == b"model 1"


async def test_an_unsigned_version_is_refused_unless_an_operator_allows_it(
    registry: MemoryRegistry, tmp_path: Path
) -> None:
    registry.signer = None
    with pytest.raises(InvalidInput, match=r"is not signed; .* `slipway models sign m 1`"):
        await _cache(tmp_path, registry).load(_version(1))
    assert await _cache(tmp_path, registry, trust=None).load(_version(1)) == b"model 1"


async def test_a_version_signed_by_a_stranger_is_refused(cache: ModelCache, registry: MemoryRegistry) -> None:
    registry.signer = Signer("22" * 32)
    with pytest.raises(InvalidInput, match="no trusted key"):
        await cache.load(_version(1))


async def test_a_file_that_was_changed_after_signing_is_refused(
    cache: ModelCache, registry: MemoryRegistry
) -> None:
    registry.files["profile.pb"] = b"another profile"
    with pytest.raises(InvalidInput, match=r"profile\.pb hashes to"):
        await cache.load(_version(1))


async def test_a_cached_model_is_refused_once_its_key_is_no_longer_trusted(
    cache: ModelCache, registry: MemoryRegistry, tmp_path: Path
) -> None:
    await cache.load(_version(1))
    registry.is_away = True
    with pytest.raises(InvalidInput, match="no trusted key"):
        await _cache(tmp_path, registry, trust=Trust([Signer("22" * 32).public])).load(_version(1))


async def test_a_model_cached_before_there_were_signatures_is_looked_up(
    registry: MemoryRegistry, tmp_path: Path
) -> None:
    await _cache(tmp_path, registry, trust=None).load(_version(1))
    registry.is_away = True
    with pytest.raises(Unavailable):
        await _cache(tmp_path, registry).load(_version(1))
    registry.is_away = False
    assert await _cache(tmp_path, registry).load(_version(1)) == b"model 1"
    assert registry.loads == 1
