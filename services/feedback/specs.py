"""The label rules of every model, followed from the topic `model_specs`."""

from collections.abc import Mapping
from typing import Final

from services.feedback.domain.label import LabelRules
from slipway import spec as model_spec
from slipway.envelope import Event

# No label is worth waiting for longer; the bound keeps times inside the calendar.
_LONGEST_S: Final = 100 * 365 * 24 * 3600.0


class SpecBook:
    """The newest rules of each model."""

    def __init__(self) -> None:
        self._rules: dict[str, LabelRules] = {}
        self._revisions: dict[str, int] = {}

    @property
    def rules(self) -> Mapping[str, LabelRules]:
        """Rules by model name."""
        return self._rules

    def apply(self, event: Event) -> None:
        """Take a ModelSpec in, unless a newer one is known.

        Raises:
            InvalidInput: Its YAML is not a spec.
        """
        message = event.message
        if message.revision < self._revisions.get(message.name, 0):
            return
        label = model_spec.parse(message.yaml).label
        self._revisions[message.name] = message.revision
        self._rules[message.name] = LabelRules(
            classes=label.classes,
            expire_after_s=min(label.expire_after_s, _LONGEST_S),
            accept_is_label=label.accept_is_label,
        )
