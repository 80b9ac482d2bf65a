"""Model bytes survive the registry, and nothing damaged is handed out."""

import os
from pathlib import Path

import pytest

from services.inference.domain.version import Version
from services.inference.model_cache import ModelCache
from slipway.errors import InvalidInput, Unavailable
from slipway.registry import RegisteredVersion, digest_of


class MemoryRegistry:
    """Versions by number: the bytes are `model <n>`."""

    def __init__(self) -> None:
        self.is_away = False
        self.loads = 0

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
    return ModelCache(tmp_path / "models", registry, max_files=2)  # type: ignore[arg-type]


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
    (kept,) = (tmp_path / "models").iterdir()
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
    cache = ModelCache(tmp_path / "models" / "deeper", registry, max_files=2)  # type: ignore[arg-type]
    assert await cache.load(_version(1)) == b"model 1"
