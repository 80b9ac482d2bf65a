"""The registry against a real MLflow server."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from slipway.errors import InvalidInput, NotFound, Unavailable
from slipway.ids import new_id
from slipway.mlflow_rest import MlflowRest
from slipway.registry import CANDIDATE, CHAMPION, Artifacts, RegisteredVersion, Registry
from slipway.v1.tensors_pb2 import FeatureProfile, ReferenceProfile

pytestmark = pytest.mark.integration


@pytest.fixture
def url() -> str:
    return os.environ["SLIPWAY_MLFLOW_URL"]


@pytest.fixture
def registry(url: str) -> Registry:
    return Registry(url)


@pytest.fixture
def model() -> str:
    return f"registry-test-{new_id()[-12:]}"


def _artifacts(onnx: bytes = b"not really a model") -> Artifacts:
    profile = ReferenceProfile(rows=7, features=[FeatureProfile(feature="a", counts=[3, 4], edges=[0.5])])
    return Artifacts(
        onnx=onnx,
        profile=profile,
        documents={"manifest.json": {"rows": 7, "name": "größer"}},
        model_card="# A model\n",
    )


def _register(registry: Registry, model: str, onnx: bytes = b"not really a model") -> RegisteredVersion:
    return registry.register(
        model,
        _artifacts(onnx),
        metrics={"accuracy": 0.75, "lift": float("nan")},
        params={"seed": "1"},
        tenant="t",
    )


def test_finds_what_was_registered(registry: Registry, model: str) -> None:
    made = _register(registry, model)
    assert made.version == "1"
    assert registry.find(model, "1") == made
    assert registry.load_onnx(made, digest=made.digest) == b"not really a model"
    assert registry.load_profile(made) == _artifacts().profile
    assert registry.load_document(made, "manifest.json") == {"rows": 7, "name": "größer"}
    assert registry.load_file(made, "model_card.md") == b"# A model\n"


def test_aliases_move_between_versions(registry: Registry, model: str) -> None:
    first, second = _register(registry, model, b"1"), _register(registry, model, b"2")
    registry.set_alias(model, CHAMPION, first.version)
    registry.set_alias(model, CANDIDATE, second.version)
    assert registry.find_alias(model, CHAMPION) == first
    assert registry.find_alias(model, CANDIDATE) == second
    registry.set_alias(model, CHAMPION, second.version)
    assert registry.find_alias(model, CHAMPION) == second


def test_says_what_does_not_exist(registry: Registry, model: str) -> None:
    with pytest.raises(NotFound, match=model):
        registry.find(model, "1")
    made = _register(registry, model)
    with pytest.raises(NotFound):
        registry.find(model, "2")
    with pytest.raises(NotFound):
        registry.find_alias(model, CHAMPION)
    with pytest.raises(NotFound):
        registry.set_alias(model, CHAMPION, "2")
    with pytest.raises(NotFound):
        registry.load_file(made, "nothing.json")


def test_refuses_an_artifact_that_was_changed(registry: Registry, url: str, model: str) -> None:
    made = _register(registry, model)
    mlflow = MlflowRest(url)
    run = mlflow.get("runs/get", {"run_id": made.run_id})["run"]
    mlflow.upload(f"{run['info']['artifact_uri']}/model.onnx", b"another model")
    with pytest.raises(InvalidInput, match="changed after registration"):
        registry.load_onnx(made, digest=made.digest)


def test_registers_from_several_sides_at_once(registry: Registry, url: str, model: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda n: _register(Registry(url), model, f"model {n}".encode()), range(4)))
    assert sorted(m.version for m in made) == ["1", "2", "3", "4"]
    for version in made:
        assert registry.load_onnx(registry.find(model, version.version), digest=version.digest)


def test_refuses_a_name_that_the_registry_cannot_hold(registry: Registry) -> None:
    with pytest.raises(InvalidInput):
        _register(registry, "a/b")


def test_a_registry_that_is_away_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        Registry("http://127.0.0.1:1").find("m", "1")
