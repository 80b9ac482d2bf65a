"""From a finished training to what the registry stores."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.retraining.domain.calibration import Calibration
from services.retraining.domain.manifest import Origin
from services.retraining.domain.model_card import model_card
from services.retraining.specs import AppliedSpec
from services.retraining.step_values import FittedModel, Recipe
from services.retraining.version_desk import CALIBRATION, MANIFEST
from slipway.profiles import to_proto
from slipway.registry import Artifacts
from slipway.spec import Spec
from slipway.v1.retraining_pb2 import RetrainCause, RetrainRequested
from slipway.v1.tensors_pb2 import ReferenceProfile

_CAUSE_PREFIX: Final = "RETRAIN_CAUSE_"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeVersions:
    """What the lineage says about the code."""

    code: str
    libraries: Mapping[str, str]


def cause_of(request: RetrainRequested) -> str:
    """Why a training was asked for, as one word for people and labels."""
    return RetrainCause.Name(request.cause).removeprefix(_CAUSE_PREFIX).lower()


def origin_of(
    request: RetrainRequested, applied: AppliedSpec, *, recipe: Recipe, champion: str, code: CodeVersions
) -> Origin:
    """Who asked, for what, with which code."""
    message = applied.message
    return Origin(
        request_id=request.request_id,
        cause=cause_of(request),
        evidence=request.evidence,
        actor=request.actor,
        model=request.model,
        tenant=request.tenant,
        spec_revision=message.revision,
        spec_digest=message.digest,
        recipe_digest=message.recipe_digest,
        seed=recipe.seed,
        code_version=code.code,
        library_versions=code.libraries,
        champion_version=champion,
    )


def artifacts_of(
    spec: Spec, manifest: dict[str, Any], *, fitted: FittedModel, calibration: Calibration
) -> Artifacts:
    """All files of a version."""
    profile = ReferenceProfile(
        features=[to_proto(p) for p in fitted.profiles],
        classes=spec.label.classes,
        predicted_counts=fitted.predicted_counts,
        rows=manifest["data"]["training"]["rows"],
    )
    about = {"method": "temperature", "fitted_on": "hold-out", **dataclasses.asdict(calibration)}
    return Artifacts(
        onnx=fitted.onnx,
        profile=profile,
        documents={MANIFEST: manifest, CALIBRATION: about},
        model_card=model_card(spec.description, manifest, calibration=calibration),
        input_profile=fitted.input_profile,
    )
