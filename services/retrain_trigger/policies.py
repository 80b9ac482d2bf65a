"""The newest policy of each model, followed from the topic `model_specs`."""

from services.retrain_trigger.domain.state import Policy
from slipway import spec as model_spec
from slipway.envelope import Event
from slipway.spec import Spec


class PolicyBook:
    """Policies by model name."""

    def __init__(self) -> None:
        self._policies: dict[str, Policy] = {}

    def find(self, model: str) -> Policy | None:
        """A model's policy; None for one that nobody declared."""
        return self._policies.get(model)

    def apply(self, event: Event) -> None:
        """Take a ModelSpec in.

        Raises:
            InvalidInput: Its YAML is not a spec; the last good one stays.
        """
        self._policies[event.message.name] = policy_of(model_spec.parse(event.message.yaml))


def policy_of(spec: Spec) -> Policy:
    """What a spec says about retraining."""
    r = spec.retraining
    return Policy(
        is_automatic=r.automatic,
        classes=spec.label.classes,
        features=len(spec.features),
        drifted_features_share=r.drifted_features_share,
        min_rows=r.min_rows,
        min_rows_per_class=r.min_rows_per_class,
        cool_down_rows=r.cool_down_rows,
        max_cool_down_rows=r.max_cool_down_rows,
        max_staleness_rows=r.max_staleness_rows,
        secondary_rows=r.secondary_rows,
        open_request_timeout_s=r.open_request_timeout_s,
    )
