"""The models as their routes and specs describe them: in what order features come, and how they spread."""

from dataclasses import dataclass
from typing import Final

from services.query_watch.domain.scales import Scales, scales_of
from slipway import profiles, spec
from slipway.envelope import Event
from slipway.spec import Spec
from slipway.stats.profile import FeatureProfile
from slipway.v1.rollout_pb2 import Arm, RouteTable

_CHAMPION: Final = "champion"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One model, as far as its questions are read.

    Attributes:
        scales_of: The version whose profile gives the scales.
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    classes: tuple[str, ...]
    scales: Scales
    scales_of: str


class ModelBook:
    """Follows `routes` and `model_specs`; a model is watched once a served version's profile is known."""

    def __init__(self) -> None:
        self._routes: dict[str, RouteTable] = {}
        self._specs: dict[str, Spec] = {}
        self._watched: dict[str, Watched | None] = {}

    def apply_routes(self, event: Event) -> None:
        """Take a newer route table."""
        table: RouteTable = event.message
        known = self._routes.get(table.model)
        if known is None or table.epoch > known.epoch:
            self._routes[table.model] = table
            self._watched.pop(table.model, None)

    def apply_spec(self, event: Event) -> None:
        """Take a spec.

        Raises:
            InvalidInput: It cannot be read; the last good one stays.
        """
        self._specs[event.message.name] = spec.parse(event.message.yaml)
        self._watched.pop(event.message.name, None)

    def find(self, model: str) -> Watched | None:
        """The model; None while nobody knows how its features spread."""
        if model not in self._watched:
            self._watched[model] = self._look(model)
        return self._watched[model]

    def _look(self, model: str) -> Watched | None:
        declared, table = self._specs.get(model), self._routes.get(model)
        if declared is None or table is None:
            return None
        arm = max(table.arms, key=lambda a: (a.role == _CHAMPION, a.weight_ppm), default=None)
        if arm is None:
            return None
        known = _profile_of(arm)
        if not all(feature.name in known for feature in declared.features):
            return None
        numeric = tuple(f.name for f in declared.features if f.type == "numeric")
        categorical = tuple(f.name for f in declared.features if f.type == "categorical")
        return Watched(
            numeric=numeric,
            categorical=categorical,
            classes=declared.label.classes,
            scales=scales_of([known[name] for name in numeric], [known[name] for name in categorical]),
            scales_of=arm.version,
        )


def _profile_of(arm: Arm) -> dict[str, FeatureProfile]:
    return {message.feature: profiles.from_proto(message) for message in arm.profile.features}
