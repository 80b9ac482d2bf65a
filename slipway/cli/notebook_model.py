"""A model that somebody brings as a file: checked on a sample, profiled, described."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from pyarrow import ArrowException

from slipway.errors import InvalidInput
from slipway.input_profile_fit import HeldOut, fit_input_profile
from slipway.onnx_model import OnnxModel
from slipway.profiles import to_proto
from slipway.registry import INPUT_PROFILE_DIGEST, Artifacts, digest_of
from slipway.signature import FEATURES
from slipway.spec import Spec
from slipway.spec_sections import Feature
from slipway.stats.profile import FeatureProfile, categorical_profile, numeric_profile
from slipway.tensors import Array
from slipway.v1.tensors_pb2 import ReferenceProfile

MAX_ROWS: Final = 100_000
_CHUNK_ROWS: Final = 4096
_CSV: Final = (".csv", ".csv.gz")


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookModel:
    """What will be registered, and what was found out on the way."""

    artifacts: Artifacts
    metrics: dict[str, float]
    params: dict[str, str]
    summary: str


def read_sample(path: Path) -> pd.DataFrame:
    """Rows from a Parquet or CSV file, at most MAX_ROWS of them, drawn from all over it.

    Raises:
        InvalidInput: It cannot be read, or has no rows.
    """
    try:
        frame = pd.read_csv(path) if path.name.endswith(_CSV) else pd.read_parquet(path)
    except (OSError, ValueError, ArrowException) as error:
        raise InvalidInput(f"cannot read {path} as Parquet or CSV: {error}") from error
    if frame.empty:
        raise InvalidInput(f"{path} has no rows")
    return frame.sample(MAX_ROWS, random_state=0) if len(frame) > MAX_ROWS else frame


def examine(
    spec: Spec,
    onnx: bytes,
    *,
    sample: pd.DataFrame,
    target: str,
    about: Mapping[str, str],
    held_out: pd.DataFrame | None = None,
) -> NotebookModel:
    """Check a model on a sample and prepare its registration.

    Args:
        spec: What the model was declared to be.
        onnx: The file's bytes.
        sample: Rows with a column per feature.
        target: Column with the truth; empty: the spec's label, if the sample has it.
        about: What a person should know; stands in the manifest.
        held_out: Rows with the truth that it has not learned from.
    Raises:
        InvalidInput: A column is missing or of the wrong kind, or the model does not fit the spec.
    """
    model = OnnxModel(onnx, spec)
    columns = {feature.name: _column(feature, sample) for feature in spec.features}
    answers = _answers(model, columns, rows=len(sample))
    metrics = _score(spec, answers, sample=sample, target=target)
    tested = None if held_out is None else _held_out(spec, model, held_out, target=target)
    input_profile = fit_input_profile(
        spec, *_matrices(spec, columns), held_out=tested, answers=answers.get("label")
    )
    manifest = {
        **_origin(spec, onnx, sample=sample, input_profile=input_profile),
        **{"scores_on_sample": metrics, **about},
    }
    profile = _profile(spec, columns, answers=answers, rows=len(sample))
    artifacts = _artifacts(spec, onnx, manifest=manifest, profile=profile, input_profile=input_profile)
    params = {"origin": "notebook", "note": about.get("note", "")}
    summary = _summary(len(sample), metrics)
    return NotebookModel(artifacts=artifacts, metrics=metrics, params=params, summary=summary)


def _artifacts(
    spec: Spec, onnx: bytes, *, manifest: dict[str, Any], profile: ReferenceProfile, input_profile: bytes
) -> Artifacts:
    return Artifacts(
        onnx=onnx,
        profile=profile,
        documents={"manifest.json": manifest},
        model_card=_card(spec, manifest),
        input_profile=input_profile,
    )


def _summary(rows: int, metrics: Mapping[str, float]) -> str:
    found = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
    return f"{rows} sample rows" + (f", {found} on them" if found else ", no truth among them")


def _origin(spec: Spec, onnx: bytes, *, sample: pd.DataFrame, input_profile: bytes) -> dict[str, Any]:
    return {
        "model": spec.name,
        "origin": "registered from a file",
        "registered_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "onnx_sha256": digest_of(onnx),
        "sample": {"rows": len(sample), "sha256": _digest(sample)},
        INPUT_PROFILE_DIGEST: digest_of(input_profile) if input_profile else "",
    }


def _column(feature: Feature, sample: pd.DataFrame) -> Array:
    if feature.name not in sample.columns:
        given = ", ".join(map(str, sample.columns[:20]))
        raise InvalidInput(f"the sample has no column {feature.name!r}; it has {given}")
    column = sample[feature.name]
    missing = int(column.isna().sum())
    if missing and not feature.nullable:
        raise InvalidInput(
            f"sample column {feature.name!r}: {missing} values are missing, but the feature is not `nullable`"
        )
    if feature.type == "categorical":
        return column.astype(object).where(column.notna(), "").astype(str).to_numpy(dtype=object)
    try:
        return pd.to_numeric(column).to_numpy(dtype=np.float32, na_value=np.nan)
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"sample column {feature.name!r} is not numeric: {error}") from error


def _answers(model: OnnxModel, columns: Mapping[str, Array], *, rows: int) -> dict[str, Array]:
    parts = [
        model.check(_inputs(model, columns, rows=slice(start, start + _CHUNK_ROWS)))
        for start in range(0, rows, _CHUNK_ROWS)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _matrices(spec: Spec, columns: Mapping[str, Array]) -> tuple[Array, Array]:
    """Numbers and texts side by side, each in the order of the spec."""
    rows = len(columns[spec.features[0].name])
    numeric = [columns[f.name] for f in spec.features if f.type == "numeric"]
    texts = [columns[f.name] for f in spec.features if f.type == "categorical"]
    numbers = np.column_stack(numeric) if numeric else np.empty((rows, 0), dtype=np.float32)
    return numbers, np.column_stack(texts) if texts else np.empty((rows, 0), dtype=object)


def _held_out(spec: Spec, model: OnnxModel, rows: pd.DataFrame, *, target: str) -> HeldOut:
    name = target or spec.label.name
    if name not in rows.columns or rows[name].isna().any():
        raise InvalidInput(f"--held-out needs the truth of every row in column {name!r}")
    columns = {feature.name: _column(feature, rows) for feature in spec.features}
    answers = _answers(model, columns, rows=len(rows))
    if not spec.is_classifier:
        return HeldOut(answers=answers["value"], truth=pd.to_numeric(rows[name]).to_numpy(dtype=np.float64))
    place = {label: code for code, label in enumerate(spec.label.classes)}
    texts = _class_texts(rows[name])
    if strange := set(texts) - set(place):
        raise InvalidInput(f"--held-out: {name!r} has {sorted(strange)[0]!r}, which is no class of the spec")
    codes = np.array([place[text] for text in texts], dtype=np.int64)
    return HeldOut(answers=answers["probabilities"], truth=codes)


def _inputs(model: OnnxModel, columns: Mapping[str, Array], *, rows: slice) -> dict[str, Array]:
    if model.signature.inputs[0].name == FEATURES:
        return {FEATURES: np.column_stack([values[rows] for values in columns.values()])}
    return {name: values[rows].reshape(-1, 1) for name, values in columns.items()}


def _score(
    spec: Spec, answers: Mapping[str, Array], *, sample: pd.DataFrame, target: str
) -> dict[str, float]:
    name = target or spec.label.name
    if name not in sample.columns:
        if target:
            raise InvalidInput(f"--target: the sample has no column {target!r}")
        return {}
    known = sample[name].notna().to_numpy()
    truth = sample[name][known]
    if truth.empty:
        return {}
    if not spec.is_classifier:
        errors = answers["value"][known] - pd.to_numeric(truth).to_numpy(dtype=np.float64)
        return {"sample_mae": float(np.abs(errors).mean()), "sample_rmse": float(np.sqrt((errors**2).mean()))}
    texts = _class_texts(truth)
    if strange := set(texts) - set(spec.label.classes):
        raise InvalidInput(
            f"sample column {name!r} has {sorted(strange)[0]!r}; "
            f"the spec's classes are {', '.join(spec.label.classes)}"
        )
    return {"sample_accuracy": float((answers["label"][known] == texts).mean())}


def _class_texts(truth: "pd.Series[Any]") -> Array:
    """Labels as the spec writes them: whole numbers without a point, booleans as in YAML."""
    if pd.api.types.is_bool_dtype(truth):
        return truth.map({True: "true", False: "false"}).to_numpy(dtype=object)
    if pd.api.types.is_float_dtype(truth) and bool((truth % 1 == 0).all()):
        truth = truth.astype("int64")
    return truth.astype(str).to_numpy(dtype=object)


def _profile(
    spec: Spec, columns: Mapping[str, Array], *, answers: Mapping[str, Array], rows: int
) -> ReferenceProfile:
    labels = answers.get("label", np.empty(0, dtype=object))
    return ReferenceProfile(
        features=[to_proto(_feature_profile(f, columns[f.name])) for f in spec.features],
        classes=spec.label.classes,
        predicted_counts=[int((labels == name).sum()) for name in spec.label.classes],
        rows=rows,
    )


def _feature_profile(feature: Feature, values: Array) -> FeatureProfile:
    make = numeric_profile if feature.type == "numeric" else categorical_profile
    return make(feature.name, values)


def _digest(sample: pd.DataFrame) -> str:
    return hashlib.sha256(pd.util.hash_pandas_object(sample, index=False).to_numpy().tobytes()).hexdigest()


def _card(spec: Spec, manifest: Mapping[str, Any]) -> str:
    scores = [f"- {name}: {value:.4f}" for name, value in manifest["scores_on_sample"].items()]
    return "\n".join(
        (
            f"# {spec.name}",
            "",
            spec.description or "No description in the spec.",
            "",
            f"Registered from {manifest['onnx_file']} on {manifest['registered_at']}. "
            f"{manifest['note']}".rstrip(),
            "",
            f"Reference profile and scores come from {manifest['sample']['rows']} rows of "
            f"{manifest['sample_file']} (SHA-256 of the rows `{manifest['sample']['sha256']}`).",
            "",
            "## Scores on the sample",
            "",
            *(scores or ["The sample has no truth."]),
            "",
            "## Limits",
            "",
            "- No gate has judged this version; if it was trained on the sample, these scores flatter it.",
            "- Inputs are float32; values outside the sample are flagged in the record, not refused.",
            "",
        )
    )
