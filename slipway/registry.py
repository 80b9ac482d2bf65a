"""Registered versions in MLflow: an ONNX model by its digest, with everything needed to judge and serve it.

All calls block; call them from a thread.
"""

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from slipway.errors import InvalidInput, NotFound, Unavailable
from slipway.v1.tensors_pb2 import ReferenceProfile

T = TypeVar("T")

MODEL_FILE: Final = "model.onnx"
PROFILE_FILE: Final = "profile.pb"
DIGEST_TAG: Final = "slipway.digest"
TENANT_TAG: Final = "slipway.tenant"
CHAMPION: Final = "champion"
CANDIDATE: Final = "candidate"
_EXPERIMENT: Final = "slipway"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifacts:
    """What is stored with a version. `documents` are JSON files by name: manifest, calibration, ..."""

    onnx: bytes
    profile: ReferenceProfile
    documents: Mapping[str, Any]
    model_card: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredVersion:
    """Where a version stands in the registry."""

    model: str
    version: str
    digest: str
    run_id: str


def digest_of(onnx: bytes) -> str:
    """SHA-256 of the model's bytes, hex."""
    return hashlib.sha256(onnx).hexdigest()


class Registry:
    """The part of MLflow that Slipway uses."""

    def __init__(self, url: str) -> None:
        self._client = MlflowClient(tracking_uri=url, registry_uri=url)

    def register(
        self,
        model: str,
        artifacts: Artifacts,
        *,
        metrics: Mapping[str, float],
        params: Mapping[str, str],
        tenant: str,
    ) -> RegisteredVersion:
        """Store the files in a new run and make them the model's next version."""
        return _translated(
            lambda: self._register(model, artifacts, metrics=metrics, params=params, tenant=tenant)
        )

    def find(self, model: str, version: str) -> RegisteredVersion:
        """One version.

        Raises:
            NotFound: No such model or version.
        """
        found = _translated(lambda: self._client.get_model_version(model, version))
        return RegisteredVersion(
            model=model,
            version=str(found.version),
            digest=found.tags.get(DIGEST_TAG, ""),
            run_id=found.run_id,
        )

    def find_alias(self, model: str, alias: str) -> RegisteredVersion:
        """The version an alias names.

        Raises:
            NotFound: No such model or alias.
        """
        found = _translated(lambda: self._client.get_model_version_by_alias(model, alias))
        return self.find(model, str(found.version))

    def set_alias(self, model: str, alias: str, version: str) -> None:
        """Point an alias at a version."""
        _translated(lambda: self._client.set_registered_model_alias(model, alias, version))

    def load_onnx(self, version: RegisteredVersion, *, digest: str) -> bytes:
        """The model's bytes.

        Raises:
            InvalidInput: They do not hash to `digest`: the artifact is not what was registered.
        """
        onnx = self.load_file(version, MODEL_FILE)
        if digest_of(onnx) != digest:
            raise InvalidInput(
                f"{version.model} version {version.version}: the stored {MODEL_FILE} hashes to {digest_of(onnx)}, "
                f"not to the registered {digest}; it was changed after registration"
            )
        return onnx

    def load_profile(self, version: RegisteredVersion) -> ReferenceProfile:
        """The reference profile of the version's training data."""
        return ReferenceProfile.FromString(self.load_file(version, PROFILE_FILE))

    def load_document(self, version: RegisteredVersion, name: str) -> Any:
        """One of the JSON documents, e.g. `manifest.json`."""
        return orjson.loads(self.load_file(version, name))

    def load_file(self, version: RegisteredVersion, name: str) -> bytes:
        """One stored file."""
        with tempfile.TemporaryDirectory() as folder:
            path = _translated(lambda: self._client.download_artifacts(version.run_id, name, folder))
            return Path(path).read_bytes()

    def _register(
        self,
        model: str,
        artifacts: Artifacts,
        *,
        metrics: Mapping[str, float],
        params: Mapping[str, str],
        tenant: str,
    ) -> RegisteredVersion:
        self._ensure_model(model)
        run = self._client.create_run(self._experiment_id(), run_name=model, tags={"slipway.model": model})
        run_id = run.info.run_id
        with tempfile.TemporaryDirectory() as folder:
            _write(Path(folder), artifacts)
            self._client.log_artifacts(run_id, folder)
        for name, value in metrics.items():
            self._client.log_metric(run_id, name, value)
        for name, text in params.items():
            self._client.log_param(run_id, name, text[:6000])
        digest = digest_of(artifacts.onnx)
        made = self._client.create_model_version(
            model, f"{run.info.artifact_uri}", run_id, tags={DIGEST_TAG: digest, TENANT_TAG: tenant}
        )
        self._client.set_terminated(run_id)
        return RegisteredVersion(model=model, version=str(made.version), digest=digest, run_id=run_id)

    def _ensure_model(self, model: str) -> None:
        try:
            self._client.create_registered_model(model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _experiment_id(self) -> str:
        found = self._client.get_experiment_by_name(_EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        try:
            return str(self._client.create_experiment(_EXPERIMENT))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return self._experiment_id()


def _write(folder: Path, artifacts: Artifacts) -> None:
    (folder / MODEL_FILE).write_bytes(artifacts.onnx)
    (folder / PROFILE_FILE).write_bytes(artifacts.profile.SerializeToString())
    (folder / "model_card.md").write_text(artifacts.model_card)
    for name, document in artifacts.documents.items():
        (folder / name).write_bytes(
            orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY)
        )


def _translated(call: Callable[[], T]) -> T:
    try:
        return call()
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise NotFound(f"registry: {error.message}") from error
        if error.error_code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
            raise InvalidInput(f"registry: {error.message}") from error
        raise Unavailable(f"registry: {error.message}") from error
    except (requests.RequestException, OSError) as error:
        raise Unavailable(f"registry is not reachable: {error}") from error
