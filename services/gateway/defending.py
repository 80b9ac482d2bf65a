"""The defence of requests: their inputs while their version computes or before, its answers afterwards.

Requests that go to a version together are judged together: nearly all that judging costs is by the call.
"""

import logging
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np

from services.gateway import metrics
from services.gateway.catalog import Model
from services.gateway.domain import elements
from services.gateway.domain.batching import Columns
from services.gateway.domain.defending import (
    NOTHING,
    UNSCORED,
    Defended,
    Guard,
    judge_inputs,
)
from services.gateway.domain.defending_answers import Answered, judge_answers
from services.gateway.records import Prediction
from slipway.errors import Unavailable

log = logging.getLogger(__name__)

# What a broken profile may lead to in numpy; anything else is an error of ours, and not passed over.
_FAULTS: Final = (ArithmeticError, LookupError, TypeError, ValueError)


def defend_input(guard: Guard, prediction: Prediction) -> None:
    """Score the input now where the request may be refused for it; else it is left for `defend_inputs`.

    Raises:
        InvalidInput: It is suspicious, and the spec refuses such inputs.
        Unavailable: It cannot be scored, and the spec says `on_error: closed`.
    """
    if guard.is_idle:
        return
    prediction.guard = guard
    if guard.is_first:
        defend_inputs([prediction])


def defend_inputs(predictions: Sequence[Prediction]) -> None:
    """Score what is not scored yet; raises as `defend_input` does."""
    for guard, due in _by_guard([p for p in predictions if p.defended is None]):
        try:
            found = judge_inputs(guard, [prediction.checked for prediction in due])
        except _FAULTS as error:
            _alone(guard, due, error)
            continue
        for prediction, defended in zip(due, found, strict=True):
            prediction.defended = defended
            if guard.fault:
                _failed(guard, prediction, guard.fault)
            if defended.scores is not None:
                _scores(prediction.contract.model, prediction.arm.version).observe(
                    float(defended.scores.max())
                )


def defend_answers(answered: Sequence[tuple[Prediction, Columns]]) -> None:
    """Judge what a version answered to several requests; whoever cannot be judged in company is left.

    Those whose guard may refuse are left as well: they are told one by one.
    """
    due = [(it, columns) for it, columns in answered if it.guard is not None and not it.guard.is_first]
    predictions = [prediction for prediction, _ in due]
    defend_inputs(predictions)
    for guard, _ in _by_guard(predictions):
        try:
            _judge(guard, [pair for pair in due if pair[0].guard is guard])
        except _FAULTS as error:
            log.debug("answers are judged one by one: %r", error)


def defend_answer(model: Model, prediction: Prediction, columns: Columns) -> None:
    """Add how sure the version that answered is; a stand-in that is no version is not sure of anything.

    Raises:
        Unavailable: It cannot be told, and the spec says `on_error: closed`.
    """
    defend_inputs([prediction])
    guard = model.guards.get(prediction.arm.version)
    found = prediction.defended
    if guard is None or found is None:
        return
    if not found.is_judged:
        try:
            _judge(guard, [(prediction, columns)])
        except _FAULTS as error:
            _failed(guard, prediction, f"{error!r}")
    if found.action != NOTHING:
        _actions(prediction.contract.model, prediction.arm.version, found.action).inc()


def _by_guard(predictions: Sequence[Prediction]) -> list[tuple[Guard, list[Prediction]]]:
    """Of one guard nearly always, but a spec may change while requests wait."""
    groups: dict[int, tuple[Guard, list[Prediction]]] = {}
    for prediction in predictions:
        if prediction.guard is not None:
            groups.setdefault(id(prediction.guard), (prediction.guard, []))[1].append(prediction)
    return list(groups.values())


def _alone(guard: Guard, due: Sequence[Prediction], error: Exception) -> None:
    """Whose fault it was shows when each is scored alone."""
    if len(due) > 1:
        for prediction in due:
            defend_inputs([prediction])
        return
    due[0].defended = Defended(abstained=bytearray(due[0].checked.rows))
    _failed(guard, due[0], f"{error!r}")


def _judge(guard: Guard, answered: Sequence[tuple[Prediction, Columns]]) -> None:
    if guard.sureness is None and guard.agreement is None:
        return
    answers = [_answered(guard, it, columns) for it, columns in answered]
    judge_answers(guard, [it.defended for it, _ in answered if it.defended is not None], answers)


def _answered(guard: Guard, prediction: Prediction, columns: Columns) -> Answered:
    width = len(guard.classes)
    numbers = np.frombuffer(columns[1 if width else 0], dtype="<f4")
    return Answered(
        checked=prediction.checked,
        labels=[label.decode() for label in elements.split_all(columns[0])] if width else (),
        numbers=numbers.reshape(prediction.checked.rows, width) if width else numbers,
        prediction_id=prediction.prediction_id,
    )


def _failed(guard: Guard, prediction: Prediction, why: str) -> None:
    """What the spec wants to be known cannot be told.

    Raises:
        Unavailable: The spec says `on_error: closed`.
    """
    model, version = prediction.contract.model, prediction.arm.version
    _failures(model, version).inc()
    if guard.defence.on_error == "closed":
        raise Unavailable(
            f"version {version} of {model!r} cannot be defended as its spec demands: {why}; "
            "register it with an input profile, or set `defence.on_error: open`"
        )
    log.debug("answered without defence", extra={"model": model, "version": version, "why": why})
    found = prediction.defended
    if found is not None and UNSCORED not in found.flags:
        found.flags = (*found.flags, UNSCORED)


@lru_cache(4096)
def _scores(model: str, version: str) -> Any:
    return metrics.INPUT_SCORE.labels(model, version)


@lru_cache(4096)
def _actions(model: str, version: str, action: str) -> Any:
    return metrics.DEFENCE_ACTIONS.labels(model, version, action)


@lru_cache(4096)
def _failures(model: str, version: str) -> Any:
    return metrics.DEFENCE_FAILURES.labels(model, version)
