"""Which models are watched, and how: routes and specs as they are now."""

from services.drift_detection.domain.distributions import FeatureReference, Reference, Thresholds
from services.drift_detection.domain.errors_over_time import Detectors
from services.drift_detection.domain.monitor import Champion, Policy
from slipway import spec
from slipway.envelope import Event
from slipway.spec import Spec
from slipway.v1.rollout_pb2 import Arm, RouteTable

_CHAMPION = "champion"
_SCORE_BYTES = 4  # float32


class WatchList:
    """Follows `routes` and `model_specs`; one entry per model."""

    def __init__(self) -> None:
        self._routes: dict[str, RouteTable] = {}
        self._specs: dict[str, Spec] = {}

    def apply_routes(self, event: Event) -> None:
        """Take a newer route table."""
        table: RouteTable = event.message
        known = self._routes.get(table.model)
        if known is None or table.epoch > known.epoch:
            self._routes[table.model] = table

    def apply_spec(self, event: Event) -> None:
        """Take a spec.

        Raises:
            InvalidInput: It cannot be read; the last good one stays.
        """
        self._specs[event.message.name] = spec.parse(event.message.yaml)

    def classes(self, model: str) -> tuple[str, ...]:
        """The model's classes in order; empty for regression and for models nobody declared."""
        known = self._specs.get(model)
        return known.label.classes if known else ()

    def tenant(self, model: str) -> str:
        """Whose model it is."""
        table = self._routes.get(model)
        return table.tenant if table else ""

    def champion(self, model: str) -> Champion | None:
        """The version that serves; None while there is none."""
        table = self._routes.get(model)
        if table is None or not table.arms:
            return None
        arm = max(table.arms, key=lambda a: (a.role == _CHAMPION, a.weight_ppm))
        if not arm.weight_ppm and arm.role != _CHAMPION:
            return None
        return Champion(version=arm.version, epoch=table.epoch, reference=_reference(arm))

    def policy(self, model: str) -> Policy | None:
        """How the model's owner wants it watched; None for models nobody declared."""
        known = self._specs.get(model)
        return _policy(known) if known else None


def _reference(arm: Arm) -> Reference:
    return Reference(
        features={
            f.feature: FeatureReference(counts=tuple(f.counts), missing=f.missing)
            for f in arm.profile.features
        },
        predicted=tuple(arm.profile.predicted_counts),
        classes=tuple(arm.profile.classes),
        calibration_rows=len(arm.input_profile.density.calibration) // _SCORE_BYTES,
    )


def _policy(model: Spec) -> Policy:
    drift = model.drift
    return Policy(
        block_rows=drift.block_rows,
        window_rows=drift.window_rows,
        performance_window_rows=drift.performance_window_rows,
        performance_drop=drift.performance_drop,
        thresholds=Thresholds(
            data=drift.data_threshold,
            prediction=drift.prediction_threshold,
            quality=drift.quality_threshold,
            unusual_rate=model.defence.density.false_positive_rate,
        ),
        detectors=Detectors(
            adwin_delta=drift.adwin_delta,
            page_hinkley_delta=drift.page_hinkley_delta,
            page_hinkley_threshold=drift.page_hinkley_threshold,
            page_hinkley_min_blocks=drift.page_hinkley_min_blocks,
        ),
    )
