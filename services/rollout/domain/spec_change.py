"""What a new revision of a spec may change: everything but the signature."""

from slipway.errors import Conflict
from slipway.spec import Spec


def check_same_signature(stored: Spec, given: Spec) -> None:
    """Refuse a spec that clients of the stored one could not go on using.

    Raises:
        Conflict: Task, classes, or the features' names, types or order differ.
    """
    for what, old, new in (
        ("task", stored.task, given.task),
        ("label.classes", list(stored.label.classes), list(given.label.classes)),
        ("features", _columns(stored), _columns(given)),
    ):
        if old != new:
            raise Conflict(
                f"{given.name}: {what} was {_shown(old)} and is {_shown(new)} now: "
                "a new signature is a new model name; apply it under one"
            )


def _columns(spec: Spec) -> list[str]:
    return [f"{f.name} ({f.type})" for f in spec.features]


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else ", ".join(map(str, value)) if isinstance(value, list) else ""
    return text if len(text) <= 300 else text[:300] + " ..."
