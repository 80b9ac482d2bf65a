"""One function per event: read, decide, write."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol, TypeVar

from services.rollout import metrics
from services.rollout.control import Control, Model, Move
from services.rollout.domain.decision import Decision, decide, is_decisive
from services.rollout.domain.log_entry import Version
from services.rollout.domain.observation import Observation
from services.rollout.domain.promotion import is_known_good, rivals_of
from services.rollout.domain.state_machine import Trigger
from services.rollout.domain.tally import Tally, fitted, is_counted, observe, pass_over
from services.rollout.records import Answers, ArmRecord
from services.rollout.reporting import report_evidence
from services.rollout.rows import Candidate
from services.rollout.saving import save_counts
from slipway.envelope import Event
from slipway.errors import InvalidInput
from slipway.ids import new_id
from slipway.v1.retraining_pb2 import CandidateBlessed, GateScore


class _OfModel(Protocol):
    """A record that says which model it is about."""

    model: str


T = TypeVar("T")
R = TypeVar("R", bound=_OfModel)

CONTROLLER: Final = "rollout"
AT_ONCE: Final = 8  # as many as there are connections to the database
_NOT_JUDGED: Final = "nobody has judged its quality: it came without a gate"


async def take_candidates(control: Control, events: Sequence[Event]) -> None:
    """Roll blessed candidates out, each once."""
    for event in events:
        if isinstance(event.message, CandidateBlessed):
            await _take_candidate(control, event.message)


async def _take_candidate(control: Control, message: CandidateBlessed) -> None:
    if message.model not in control.names:
        raise InvalidInput(f"candidate of model {message.model!r}, which has no spec")
    if await control.store.knows_candidate(message.model, message.version):
        return
    candidate = Candidate(
        model=message.model,
        subject=Version(version=message.version, digest=message.digest),
        actor="retraining",
        reason=message.reason or f"blessed by the gate, window {message.window}",
        quality=_quality(message),
    )
    async with control.locked(message.model) as model:
        if model.position.champion != candidate.subject:
            await start_or_wait(control, model, candidate)


def _quality(message: CandidateBlessed) -> str:
    """What the gate has found, in words."""
    scores = {score.contestant: score for score in message.scores}
    winner = scores.get(message.window) or scores.get(f"window:{message.window}")
    if winner is None:
        return "the gate has judged its quality"
    return f"the gate has judged its quality: {_shown(winner)}" + "".join(
        f", {name} {_shown(scores[name])}" for name in ("champion",) if name in scores
    )


def _shown(score: GateScore) -> str:
    return f"accuracy {score.accuracy:.3f} on {score.rows} rows"


async def start_or_wait(control: Control, model: Model, candidate: Candidate) -> None:
    """Start a candidate now, or behind the live rollout; the model must be locked."""
    if model.position.is_live:
        await control.store.put_waiting(control.writer, candidate, now_s=control.clock.now_s())
        model.waiting = candidate
    else:
        await _start(control, model, candidate)


async def _start(control: Control, model: Model, candidate: Candidate) -> None:
    evidence: dict[str, object] = {"quality": candidate.quality or _NOT_JUDGED}
    if is_known_good(model.position, model.newest.rollout, candidate.subject):
        evidence["skips_steps"] = True
    move = Move(
        trigger=Trigger.START,
        subject=candidate.subject,
        rivals=rivals_of(model.position, model.newest.rollout, candidate.rivals, subject=candidate.subject),
        actor=candidate.actor,
        reason=candidate.reason,
        evidence=evidence,
        rollout_id=new_id(),
        candidate=candidate,
    )
    await control.move(model, move)


async def start_waiting(control: Control, model: Model) -> None:
    """Start the candidate that waits, if nothing is live; the model must be locked."""
    waiting = model.waiting
    if waiting is None or model.position.is_live:
        return
    await _start(control, model, waiting)


async def take_predictions(control: Control, records: Sequence[ArmRecord]) -> bool:
    """Count the records of models with a live rollout; nothing is written for the others.

    Returns whether a rollout moved.
    """
    by_model = of_live(control, records)
    metrics.RECORDS.labels("irrelevant").inc(len(records) - sum(map(len, by_model.values())))
    return await take_each(control, by_model, _count)


def of_live(control: Control, records: Sequence[R]) -> dict[str, list[R]]:
    """Each model's records, of those with a live rollout."""
    by_model: dict[str, list[R]] = defaultdict(list)
    for record in records:
        if control.is_live(record.model):
            by_model[record.model].append(record)
    return by_model


async def take_each(
    control: Control,
    by_model: Mapping[str, Sequence[T]],
    take: Callable[[Control, Model, Sequence[T]], Awaitable[None]],
) -> bool:
    """Hand each model its records, several models side by side: none waits for a slow one's lock.

    Returns whether a rollout moved.

    Raises:
        SlipwayError: The first that failed; the others are done nevertheless.
    """
    places = asyncio.Semaphore(AT_ONCE)

    async def take_own(name: str) -> bool:
        async with places, control.locked(name) as model:
            seq = model.position.seq
            await take(control, model, by_model[name])
            return model.position.seq != seq

    moved = await asyncio.gather(*map(take_own, by_model), return_exceptions=True)
    for failure in moved:
        if isinstance(failure, BaseException):
            raise failure
    return any(moved)


async def _count(control: Control, model: Model, records: Sequence[ArmRecord]) -> None:
    """Fold the records into the counts; save those with their offsets, and each move they cause."""
    policy, answers = model.policy, Answers(model.ruling_spec)
    tally, duplicates, is_first = fitted(model.tally, policy), 0, True
    for record in records:
        observation = answers.observe(record)
        if _is_repeated(model, tally, observation):
            duplicates += 1
            if not is_counted(tally, observation.source, observation.offset):
                tally = pass_over(tally, observation.source, observation.offset)
            continue
        tally = observe(tally, observation, model.position, policy=policy)
        if not is_first and not is_decisive(observation, model.position, tally, policy):
            continue
        tally, is_first = await _decided(control, model, tally)
        tally = fitted(tally, policy) if is_first else tally
    metrics.RECORDS.labels("duplicate").inc(duplicates)
    metrics.RECORDS.labels("counted").inc(len(records) - duplicates)
    await settle(control, model, tally)


def _is_repeated(model: Model, tally: Tally, observation: Observation) -> bool:
    """Whether a record was counted before: at this place, or sent a second time to another one."""
    if is_counted(tally, observation.source, observation.offset):
        return True
    # What is said about a record bears the same id, and says nothing of the version.
    is_known = observation.prediction_id and observation.outcome != "ignored"
    return bool(is_known) and not model.unsaved.seen.add(observation.prediction_id)


async def _decided(control: Control, model: Model, tally: Tally) -> tuple[Tally, bool]:
    """The counts after what they ask for was done, and whether that was a move.

    After a move, and for whatever was left undecided before, one has to look anew.
    """
    decision = decide(model.position, tally, model.policy, control.moment())
    if decision is None:
        return tally, False
    await make_move(control, model, decision, tally=tally)
    return model.tally, True


async def settle(control: Control, model: Model, tally: Tally) -> None:
    """Do what the counts of a whole batch ask for, and save them; the model must be locked."""
    if tally is model.tally:
        return
    if model.position.is_live:
        tally, _ = await _decided(control, model, tally)
    if tally is not model.tally:
        await save_counts(control, model, tally)
    report_evidence(model.name, model.position, model.tally)


async def make_move(
    control: Control, model: Model, decision: Decision, *, tally: Tally | None = None
) -> None:
    """Do what was decided about the live rollout, then start whoever waits."""
    subject = decision.subject or model.position.subject
    assert subject is not None
    move = Move(
        trigger=decision.trigger,
        subject=subject,
        rivals=decision.rivals,
        actor=CONTROLLER,
        reason=decision.reason,
        evidence=decision.evidence,
        step=decision.step,
        weight_ppm=decision.weight_ppm,
        mirror_ppm=decision.mirror_ppm,
        max_mirrored_per_s=decision.max_mirrored_per_s,
    )
    await control.move(model, move, tally=tally)
    await start_waiting(control, model)
