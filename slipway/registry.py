"""Registered versions in MLflow: an ONNX model by its digest, with everything needed to judge and serve it.

Speaks MLflow's REST API: its Python client would cost each service 130 MB and three seconds at start.
All calls block; call them from a thread.
"""

import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import orjson

from slipway.errors import Conflict, InvalidInput, NotFound
from slipway.mlflow_rest import MlflowRest, pairs, quoted
from slipway.models.formats import MAX_MODEL_BYTES
from slipway.models.signing import Maker
from slipway.v1.tensors_pb2 import ReferenceProfile

MODEL_FILE: Final = "model.onnx"
PROFILE_FILE: Final = "profile.pb"
INPUT_PROFILE_FILE: Final = "input_profile.pb"
MANIFEST_FILE: Final = "manifest.json"
INPUT_PROFILE_DIGEST: Final = "input_profile_sha256"  # in the manifest
CARD_FILE: Final = "model_card.md"
SIGNATURE_FILE: Final = "signature.json"
DIGEST_TAG: Final = "slipway.digest"
TENANT_TAG: Final = "slipway.tenant"
MAKER_TAG: Final = "slipway.made_by"  # for people; what counts is signed
REQUEST_TAG: Final = "slipway.request"  # the training request that a version answers
CHAMPION: Final = "champion"
CANDIDATE: Final = "candidate"
_EXPERIMENT: Final = "slipway"
_PARAM_CHARS: Final = 6000  # MLflow refuses longer ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifacts:
    """What is stored with a version. `documents` are JSON files by name: manifest, calibration, ..."""

    onnx: bytes
    profile: ReferenceProfile
    documents: Mapping[str, Any]
    model_card: str
    input_profile: bytes = b""  # empty: the version has none; its digest stands in the manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredVersion:
    """Where a version stands in the registry."""

    model: str
    version: str
    digest: str
    run_id: str


def digest_of(onnx: bytes) -> str:
    """SHA-256 of a model's bytes, or of another file's, hex."""
    return hashlib.sha256(onnx).hexdigest()


class Registry:
    """The part of MLflow that Slipway uses."""

    def __init__(self, url: str) -> None:
        self._mlflow = MlflowRest(url)

    def register(
        self,
        model: str,
        artifacts: Artifacts,
        *,
        metrics: Mapping[str, float],
        params: Mapping[str, str],
        tenant: str,
        tags: Mapping[str, str] = MappingProxyType({}),
        maker: Maker | None = None,
    ) -> RegisteredVersion:
        """Store the files in a new run and make them the model's next version, with `tags`.

        Without a `maker` the version is unsigned, and nobody serves it unless told so. The version is
        made last: a crash on the way leaves a run, never half a version. Metrics that are not finite are
        left out.
        """
        self._ensure_model(model)
        run_id, root = self._start_run(model)
        files, digest = _files(artifacts), digest_of(artifacts.onnx)
        if maker is not None:
            files[SIGNATURE_FILE] = maker.vouch(model, files, digest=digest, tenant=tenant)
            tags = {**tags, MAKER_TAG: maker.made_by}
        for name, content in files.items():
            self._mlflow.upload(f"{root}/{name}", content)
        self._log(run_id, metrics, params=params)
        made = self._mlflow.post(
            "model-versions/create",
            {
                "name": model,
                "source": root,
                "run_id": run_id,
                "tags": pairs({**tags, DIGEST_TAG: digest, TENANT_TAG: tenant}),
            },
        )
        self._mlflow.post(
            "runs/update", {"run_id": run_id, "status": "FINISHED", "end_time": time.time_ns() // 1_000_000}
        )
        version = str(made["model_version"]["version"])
        return RegisteredVersion(model=model, version=version, digest=digest, run_id=run_id)

    def find(self, model: str, version: str) -> RegisteredVersion:
        """One version.

        Raises:
            NotFound: No such model or version.
        """
        return _version(self._mlflow.get("model-versions/get", {"name": model, "version": version}))

    def find_tagged(self, model: str, tag: str, value: str) -> RegisteredVersion:
        """The newest version that carries a tag.

        Raises:
            NotFound: None does.
        """
        query = f"name = '{quoted(model)}' AND tag.`{tag}` = '{quoted(value)}'"
        found = self._mlflow.get("model-versions/search", {"filter": query, "max_results": "100"})
        versions = [_version({"model_version": v}) for v in found.get("model_versions", [])]
        if not versions:
            raise NotFound(f"registry: {model} has no version with {tag}={value!r}")
        return max(versions, key=lambda v: int(v.version))

    def find_alias(self, model: str, alias: str) -> RegisteredVersion:
        """The version an alias names.

        Raises:
            NotFound: No such model or alias.
        """
        # MLflow answers a missing alias like a malformed one; the model's own list is unambiguous.
        found = self._mlflow.get("registered-models/get", {"name": model})["registered_model"]
        for entry in found.get("aliases", []):
            if entry["alias"] == alias:
                return self.find(model, str(entry["version"]))
        raise NotFound(f"registry: {model} has no alias {alias}")

    def set_alias(self, model: str, alias: str, version: str) -> None:
        """Point an alias at a version.

        Raises:
            NotFound: No such model or version.
        """
        self._mlflow.post("registered-models/alias", {"name": model, "alias": alias, "version": version})

    def load_onnx(self, version: RegisteredVersion, *, digest: str) -> bytes:
        """The model's bytes.

        Raises:
            InvalidInput: They do not hash to `digest`: the artifact is not what was registered.
        """
        onnx = self.load_file(version, MODEL_FILE)
        found = digest_of(onnx)
        if found != digest:
            raise InvalidInput(
                f"{version.model} version {version.version}: the stored {MODEL_FILE} hashes to {found}, "
                f"not to the registered {digest}; it was changed after registration, register it anew"
            )
        return onnx

    def load_profile(self, version: RegisteredVersion) -> ReferenceProfile:
        """The reference profile of the version's training data."""
        return ReferenceProfile.FromString(self.load_file(version, PROFILE_FILE))

    def load_input_profile(self, version: RegisteredVersion) -> bytes:
        """The version's input profile, serialized; empty where it was registered without one.

        Raises:
            NotFound: The manifest names one, and it is not there.
            InvalidInput: It is not the one that the manifest names.
        """
        try:
            wanted = str(self.load_document(version, MANIFEST_FILE).get(INPUT_PROFILE_DIGEST, ""))
        except NotFound:
            return b""
        if not wanted:
            return b""
        stored = self.load_file(version, INPUT_PROFILE_FILE)
        if digest_of(stored) != wanted:
            raise InvalidInput(
                f"{version.model} version {version.version}: the stored {INPUT_PROFILE_FILE} hashes to "
                f"{digest_of(stored)}, not to the manifest's {wanted}; register the version anew"
            )
        return stored

    def load_document(self, version: RegisteredVersion, name: str) -> Any:
        """One of the JSON documents, e.g. `manifest.json`."""
        return orjson.loads(self.load_file(version, name))

    def load_file(self, version: RegisteredVersion, name: str) -> bytes:
        """One stored file.

        Raises:
            NotFound: No such run or file.
            InvalidInput: It is larger than a model may be.
        """
        return self._mlflow.download(f"{self._root(version)}/{name}", max_bytes=MAX_MODEL_BYTES)

    def list_files(self, version: RegisteredVersion) -> list[str]:
        """The names of the stored files.

        Raises:
            NotFound: No such run.
        """
        found = self._mlflow.get("artifacts/list", {"run_id": version.run_id})
        return [str(file["path"]) for file in found.get("files", []) if not file.get("is_dir")]

    def store_signature(self, version: RegisteredVersion, envelope: bytes) -> None:
        """Store a signature, in place of the one that the version has."""
        self._mlflow.upload(f"{self._root(version)}/{SIGNATURE_FILE}", envelope)

    def _root(self, version: RegisteredVersion) -> str:
        run = self._mlflow.get("runs/get", {"run_id": version.run_id})
        return str(run["run"]["info"]["artifact_uri"])

    def _start_run(self, model: str) -> tuple[str, str]:
        """A new run: its id and where its files go."""
        made = self._mlflow.post(
            "runs/create",
            {
                "experiment_id": self._experiment_id(),
                "run_name": model,
                "start_time": time.time_ns() // 1_000_000,
                "tags": pairs({"slipway.model": model}),
            },
        )
        info = made["run"]["info"]
        return str(info["run_id"]), str(info["artifact_uri"])

    def _log(self, run_id: str, metrics: Mapping[str, float], *, params: Mapping[str, str]) -> None:
        now_ms = time.time_ns() // 1_000_000
        numbers = [
            {"key": name, "value": float(value), "timestamp": now_ms, "step": 0}
            for name, value in metrics.items()
            if math.isfinite(value)
        ]
        texts = pairs({name: text[:_PARAM_CHARS] for name, text in params.items()})
        self._mlflow.post("runs/log-batch", {"run_id": run_id, "metrics": numbers, "params": texts})

    def _ensure_model(self, model: str) -> None:
        try:
            self._mlflow.post("registered-models/create", {"name": model})
        except Conflict:
            return  # somebody, maybe just now, has made it

    def _experiment_id(self) -> str:
        try:
            return self._find_experiment()
        except NotFound:
            pass
        try:
            return str(self._mlflow.post("experiments/create", {"name": _EXPERIMENT})["experiment_id"])
        except Conflict:
            return self._find_experiment()

    def _find_experiment(self) -> str:
        found = self._mlflow.get("experiments/get-by-name", {"experiment_name": _EXPERIMENT})
        return str(found["experiment"]["experiment_id"])


def _files(artifacts: Artifacts) -> dict[str, bytes]:
    as_json = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY
    files = {name: orjson.dumps(document, option=as_json) for name, document in artifacts.documents.items()}
    if artifacts.input_profile:
        files[INPUT_PROFILE_FILE] = artifacts.input_profile
    return files | {
        MODEL_FILE: artifacts.onnx,
        PROFILE_FILE: artifacts.profile.SerializeToString(),
        CARD_FILE: artifacts.model_card.encode(),
    }


def _version(answer: Mapping[str, Any]) -> RegisteredVersion:
    found = answer["model_version"]
    tags = {tag["key"]: tag["value"] for tag in found.get("tags", [])}
    digest = tags.get(DIGEST_TAG, "")
    if not digest:
        raise InvalidInput(
            f"registry: {found['name']} version {found['version']} has no tag {DIGEST_TAG}; "
            "register it with `slipway register`"
        )
    return RegisteredVersion(
        model=found["name"], version=str(found["version"]), digest=digest, run_id=found["run_id"]
    )
