"""From a spec and its rows to the plan of a training."""

import dataclasses
from typing import Final

from services.retraining.domain.examples import ExampleSet
from services.retraining.domain.gate import Insufficient, find_gap_in_classes
from services.retraining.domain.windows import Plan, SkippedWindow, WindowPolicy
from services.retraining.store.examples import Columns
from slipway.spec import Spec


def columns_of(spec: Spec) -> Columns:
    """How a model's stored rows are read."""
    numeric = sum(f.type == "numeric" for f in spec.features)
    return Columns(classes=spec.label.classes, numeric=numeric, categorical=len(spec.features) - numeric)


FIRST_WINDOWS: Final = ("all",)


def policy_of(spec: Spec, *, has_champion: bool) -> WindowPolicy:
    """What a spec says about windows.

    A first version learns from all rows: whoever registered them chose them, and nothing has drifted yet.
    """
    rules = spec.retraining
    return WindowPolicy(
        names=rules.windows if has_champion else FIRST_WINDOWS,
        sliding_rows=rules.sliding_rows,
        holdout_rows=rules.holdout_rows,
        horizon_rows=spec.label.horizon_rows,
        min_rows=rules.min_rows,
    )


def with_all_classes(laid_out: Plan, examples: ExampleSet, *, spec: Spec) -> Plan:
    """The plan without windows that lack a class.

    Raises:
        Insufficient: Nothing is left, or the hold-out lacks a class.
    """
    windows, skipped = [], list(laid_out.skipped)
    needed = spec.retraining.min_rows_per_class
    for window in laid_out.windows:
        codes = examples.codes[window.start : window.end]
        gap = find_gap_in_classes(codes, classes=spec.label.classes, min_rows=needed, where="in training")
        if gap:
            skipped.append(SkippedWindow(name=window.name, reason=gap))
        else:
            windows.append(window)
    if not windows:
        reasons = "; ".join(f"{s.name}: {s.reason}" for s in skipped)
        raise Insufficient(f"no window can be trained on {laid_out.rows} matured rows ({reasons})")
    held_out = examples.codes[laid_out.holdout_start :]
    if gap := find_gap_in_classes(held_out, classes=spec.label.classes, min_rows=1, where="in the hold-out"):
        raise Insufficient(gap)
    return dataclasses.replace(laid_out, windows=tuple(windows), skipped=tuple(skipped))
