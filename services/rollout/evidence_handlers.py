"""What labels, outcomes and answers in shadow add to the evidence of live rollouts."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Final

from services.rollout import metrics
from services.rollout.control import Control, Model
from services.rollout.domain import comparison as compared
from services.rollout.domain.assignment import assignment
from services.rollout.domain.measurement import Learned
from services.rollout.domain.rule_evidence import PairMeasurement
from services.rollout.domain.shadow import ShadowSeen
from services.rollout.domain.tally import (
    Tally,
    fitted,
    is_counted,
    is_shadow_of,
    observe_shadow,
    pass_over,
)
from services.rollout.evidence_store import MOST_HELD, load_due, load_halves
from services.rollout.handlers import of_live, settle, take_each
from services.rollout.label_records import LabelRecord, learn
from services.rollout.shadow_records import ShadowAnswers, ShadowRecord
from services.rollout.store import Fenced
from services.rollout.unsaved import Half, Held, Key
from slipway.errors import SlipwayError
from slipway.v1.feedback_pb2 import LabelMatched

log = logging.getLogger(__name__)

RIPEN_EVERY_S: Final = 1.0
_RIPE_AT_ONCE: Final = 2000


async def take_labels(control: Control, records: Sequence[LabelRecord]) -> bool:
    """Count what is learned about requests of live rollouts; returns whether one moved."""
    return await take_each(control, of_live(control, records), _take_labels)


async def take_shadows(control: Control, records: Sequence[ShadowRecord]) -> bool:
    """Count what versions in shadow answered; returns whether a rollout moved."""
    return await take_each(control, of_live(control, records), _take_shadows)


async def ripen(control: Control, stop: asyncio.Event) -> None:
    """Count labels when their requests have reached the horizon, until `stop` is set."""
    while not stop.is_set():
        for name in control.names:
            try:
                await _ripen_one(control, name)
            except Fenced:
                raise
            except SlipwayError as error:
                log.warning("labels of %s must wait: %s", name, error)
        try:
            await asyncio.wait_for(stop.wait(), timeout=RIPEN_EVERY_S)
        except TimeoutError:
            continue


async def _ripen_one(control: Control, name: str) -> None:
    """One model, unless another one is at it, who would do the same."""
    found = control.find(name)
    waits = found.tally.late.held or found.tally.coverage is not None
    if found.position.is_live and waits and not found.lock.locked():
        async with control.locked(name) as model:
            await settle(control, model, await _ripened(control, model, model.tally))


async def _take_labels(control: Control, model: Model, records: Sequence[LabelRecord]) -> None:
    policy, tally = model.policy, fitted(model.tally, model.policy)
    answers = await load_halves(control.store, model.name, "answer", _champions_keys(model, records))
    for record in records:
        if is_counted(tally, record.source, record.offset):
            metrics.LATE_RECORDS.labels("duplicate").inc()
            continue
        tally = pass_over(tally, record.source, record.offset)
        learned = learn(record, policy)
        if learned is None:
            metrics.LATE_RECORDS.labels("irrelevant").inc()
            continue
        if policy.needs_pairs and learned.is_label:
            tally = _pair_label(model, tally, record.message, answers)
        if policy.needs_labels:
            tally = _hold(control, model, tally, learned)
    await settle(control, model, await _ripened(control, model, tally))


def _champions_keys(model: Model, records: Sequence[LabelRecord]) -> list[Key]:
    """The rows whose answer in shadow may be waiting for these labels."""
    champion = model.position.champion
    if not model.policy.needs_pairs or champion is None:
        return []
    return [
        (r.message.prediction_id, r.message.row)
        for r in records
        if isinstance(r.message, LabelMatched) and r.message.version == champion.version
    ]


def _pair_label(model: Model, tally: Tally, label: LabelMatched, answers: dict[Key, Half]) -> Tally:
    """Make a pair with the answer in shadow, or let the label wait for it."""
    champion, subject = model.position.champion, model.position.subject
    if champion is None or subject is None or label.version != champion.version:
        return tally
    key, is_right = (label.prediction_id, label.row), label.predicted == label.label
    answer = answers.pop(key, None)
    if answer is not None:
        model.unsaved.taken.append(("answer", key))
        return _pair(model, tally, key, rights=(is_right, answer.said == label.label), unit=label.unit)
    if not is_shadow_of(model.position, version=subject.version, route_epoch=label.route_epoch):
        return tally
    late = replace(tally.late, labels=tally.late.labels + 1)
    half = Half(
        kind="label", key=key, seq=late.labels, said=label.label, is_champion_right=is_right, unit=label.unit
    )
    model.unsaved.halves.append(half)
    return replace(tally, late=late)


def _pair(model: Model, tally: Tally, key: Key, *, rights: tuple[bool, bool], unit: str) -> Tally:
    """Count a pair: one for each request, since its rows are right or wrong together."""
    if not model.unsaved.seen.add(f"pair/{key[0]}"):
        return tally
    metrics.PAIRS.inc()
    pair = PairMeasurement(is_champion_right=rights[0], is_candidate_right=rights[1], unit=unit)
    return replace(tally, comparison=compared.add_pair(tally.comparison, pair, policy=model.policy))


def _hold(control: Control, model: Model, tally: Tally, learned: Learned) -> Tally:
    """Keep what was learned until its request has reached the horizon; then it counts, on either arm."""
    draw = assignment(model.position, version=learned.version, route_epoch=learned.route_epoch)
    horizon_s = model.policy.rollout.label_horizon_s or 0.0
    kind = "label" if learned.is_label else "/".join(learned.values)
    if draw is None:
        return tally
    if learned.known_s - learned.served_s > horizon_s:
        metrics.LATE_RECORDS.labels("late").inc()
        return tally
    if not model.unsaved.seen.add(f"{kind}/{learned.prediction_id}"):
        metrics.LATE_RECORDS.labels("duplicate").inc()
        return tally
    if learned.is_label:
        tally = replace(tally, comparison=compared.add_label_came(tally.comparison, learned, draw))
    due_at_s = learned.served_s + horizon_s
    if control.clock.now_s() >= due_at_s:
        return _count_learned(model, tally, learned)
    if tally.late.held >= MOST_HELD:
        metrics.LATE_RECORDS.labels("given_up").inc()
        return tally
    late = replace(tally.late, learned=tally.late.learned + 1, held=tally.late.held + 1)
    model.unsaved.held.append(Held(seq=late.learned, due_at_s=due_at_s, learned=asdict(learned)))
    return replace(tally, late=late)


async def _ripened(control: Control, model: Model, tally: Tally) -> Tally:
    """Count the held labels whose time has come, and judge the coverage of their cohorts."""
    now_s = control.clock.now_s()
    due: list[Held] = []
    if model.tally.late.held:
        due = await load_due(control.store, model.name, now_s=now_s, limit=_RIPE_AT_ONCE)
    for held in due:
        learned = Learned(**{**held.learned, "slices": tuple(held.learned["slices"])})
        tally = _count_learned(model, tally, learned)
        model.unsaved.released.append(held.seq)
    if due:
        tally = replace(tally, late=replace(tally.late, held=tally.late.held - len(due)))
    comparison = compared.close_cohorts(tally.comparison, now_s=now_s)
    return tally if comparison is tally.comparison else replace(tally, comparison=comparison)


def _count_learned(model: Model, tally: Tally, learned: Learned) -> Tally:
    draw = assignment(model.position, version=learned.version, route_epoch=learned.route_epoch)
    if draw is None:  # the rollout has gone on without this arm
        return tally
    metrics.LATE_RECORDS.labels("counted").inc()
    comparison = compared.add_learned(
        tally.comparison, learned, draw, policy=model.policy, step=model.position.step
    )
    return replace(tally, comparison=comparison)


async def _take_shadows(control: Control, model: Model, records: Sequence[ShadowRecord]) -> None:
    reader, tally = ShadowAnswers(model.ruling_spec), fitted(model.tally, model.policy)
    seen = [reader.observe(record) for record in records]
    keys = [(s.prediction_id, row) for s in seen for row in range(len(s.answers))]
    labels = await load_halves(control.store, model.name, "label", keys if model.policy.needs_pairs else [])
    for each in seen:
        if is_counted(tally, each.source, each.offset):
            metrics.SHADOW_RECORDS.labels("duplicate").inc()
        elif not model.unsaved.seen.add(f"shadow/{each.prediction_id}"):
            tally = pass_over(tally, each.source, each.offset)
            metrics.SHADOW_RECORDS.labels("duplicate").inc()
        else:
            tally = _count_shadow(model, tally, each, labels)
    await settle(control, model, tally)


def _count_shadow(model: Model, tally: Tally, seen: ShadowSeen, labels: dict[Key, Half]) -> Tally:
    counted = observe_shadow(tally, seen, model.position)
    if counted.shadow is tally.shadow:
        metrics.SHADOW_RECORDS.labels("irrelevant").inc()
        return counted
    metrics.SHADOW_RECORDS.labels("counted").inc()
    for row, said in enumerate(seen.answers if model.policy.needs_pairs else ()):
        counted = _pair_answer(model, counted, seen, (row, said, labels))
    return counted


def _pair_answer(
    model: Model, tally: Tally, seen: ShadowSeen, about: tuple[int, str, dict[Key, Half]]
) -> Tally:
    """Make a pair with the label that came first, or let the answer wait for its label."""
    row, said, labels = about
    key = (seen.prediction_id, row)
    label = labels.pop(key, None)
    if label is not None:
        model.unsaved.taken.append(("label", key))
        rights = (label.is_champion_right, said == label.said)
        return _pair(model, tally, key, rights=rights, unit=label.unit)
    late = replace(tally.late, answers=tally.late.answers + 1)
    model.unsaved.halves.append(Half(kind="answer", key=key, seq=late.answers, said=said, unit=seen.unit))
    return replace(tally, late=late)
