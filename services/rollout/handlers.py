"""One function per command and per event: read, decide, write."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from services.rollout import metrics
from services.rollout.control import Control, Model, Move, report_evidence
from services.rollout.domain.decision import Decision, decide, is_decisive
from services.rollout.domain.log_entry import Version
from services.rollout.domain.observation import Observation
from services.rollout.domain.state_machine import Trigger
from services.rollout.domain.tally import Tally, fitted, is_counted, observe, pass_over
from services.rollout.records import Answers, ArmRecord
from services.rollout.rows import Candidate
from services.rollout.saving import save_counts
from slipway.envelope import Event
from slipway.errors import Conflict, InvalidInput
from slipway.ids import new_id
from slipway.v1.retraining_pb2 import CandidateBlessed, GateScore

CONTROLLER: Final = "rollout"
_NOT_JUDGED: Final = "nobody has judged its quality: it came without a gate"


async def start_rollout(control: Control, candidate: Candidate) -> None:
    """Roll a version out now, or let it wait for the live rollout to end.

    Raises:
        NotFound: The model is not known.
        Conflict: The version serves already, or is on its way.
    """
    async with control.locked(candidate.model) as model:
        _check_is_new(model, candidate.subject)
        await _start_or_wait(control, model, candidate)


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
            await _start_or_wait(control, model, candidate)


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


def _check_is_new(model: Model, subject: Version) -> None:
    position = model.position
    if position.champion and position.champion.version == subject.version:
        raise Conflict(f"{model.name}: version {subject.version} is the champion already; nothing to do")
    if position.subject and position.subject.version == subject.version:
        raise Conflict(
            f"{model.name}: version {subject.version} is being rolled out; `slipway status` follows it"
        )


async def _start_or_wait(control: Control, model: Model, candidate: Candidate) -> None:
    if model.position.is_live:
        await control.store.put_waiting(control.writer, candidate, now_s=control.clock.now_s())
        model.waiting = candidate
    else:
        await _start(control, model, candidate)


async def _start(control: Control, model: Model, candidate: Candidate) -> None:
    quality = candidate.quality or _NOT_JUDGED
    move = Move(
        trigger=Trigger.START,
        subject=candidate.subject,
        actor=candidate.actor,
        reason=candidate.reason,
        evidence={"quality": quality},
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


async def abort(control: Control, name: str, *, actor: str, reason: str) -> None:
    """End the live rollout and give all requests back to the champion; without one, do nothing."""
    async with control.locked(name) as model:
        if model.position.is_live:
            await _command(control, model, Trigger.ABORT, actor=actor, reason=reason or "aborted by hand")


async def rollback(control: Control, name: str, *, actor: str, reason: str) -> None:
    """Return to the champion before; one that is no longer warm is warmed first.

    Raises:
        Conflict: There is none.
    """
    async with control.locked(name) as model:
        position = model.position
        why = reason or "rolled back by hand"
        if position.is_live or position.standby:
            await _command(control, model, Trigger.ROLLBACK, actor=actor, reason=why)
        elif position.previous:
            await _restore(control, model, actor=actor, reason=why)
        else:
            raise Conflict(f"{name}: there is no former version to return to")


async def _command(control: Control, model: Model, trigger: Trigger, *, actor: str, reason: str) -> None:
    subject = model.position.subject or model.position.champion
    assert subject is not None
    # Who takes one version back by hand does not want the next to start by itself at that moment.
    note = f"{trigger} by {actor}: it does not follow by itself"
    await control.move(
        model, Move(trigger=trigger, subject=subject, actor=actor, reason=reason, drop_waiting=note)
    )


async def _restore(control: Control, model: Model, *, actor: str, reason: str) -> None:
    former = model.position.previous[-1]
    move = Move(
        trigger=Trigger.RESTORE,
        subject=former,
        actor=actor,
        reason=f"{reason}; version {former.version} is no longer warm and is warmed first",
        rollout_id=new_id(),
        drop_waiting=f"rollback by {actor}",
    )
    await control.move(model, move)


async def take_predictions(control: Control, records: Sequence[ArmRecord]) -> bool:
    """Count the records of models with a live rollout; nothing is written for the others.

    Returns whether a rollout moved.
    """
    by_model: dict[str, list[ArmRecord]] = defaultdict(list)
    for record in records:
        if control.is_live(record.model):
            by_model[record.model].append(record)
    metrics.RECORDS.labels("irrelevant").inc(len(records) - sum(map(len, by_model.values())))
    has_moved = False
    for name, own in by_model.items():
        async with control.locked(name) as model:
            seq = model.position.seq
            await _count(control, model, own)
            has_moved = has_moved or model.position.seq != seq
    return has_moved


async def _count(control: Control, model: Model, records: Sequence[ArmRecord]) -> None:
    """Fold the records into the counts; save those with their offsets, and each move they cause."""
    policy, answers = model.policy, Answers(model.spec)
    tally, duplicates, is_first = fitted(model.tally, policy), 0, True
    for record in records:
        observation = answers.observe(record)
        if _is_repeated(model, tally, observation):
            duplicates += 1
            if not is_counted(tally, observation.source, observation.offset):
                tally = pass_over(tally, observation.source, observation.offset)
            continue
        tally = observe(tally, observation, model.position, policy=policy)
        if not is_first and not is_decisive(observation, model.position, tally, model.spec.rollout):
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
    decision = decide(model.position, tally, model.spec.rollout)
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
    report_evidence(model)


async def make_move(
    control: Control, model: Model, decision: Decision, *, tally: Tally | None = None
) -> None:
    """Do what was decided about the live rollout, then start whoever waits."""
    assert model.position.subject is not None
    move = Move(
        trigger=decision.trigger,
        subject=model.position.subject,
        actor=CONTROLLER,
        reason=decision.reason,
        evidence=decision.evidence,
        step=decision.step,
        weight_ppm=decision.weight_ppm,
    )
    await control.move(model, move, tally=tally)
    await start_waiting(control, model)


def idle_text(model: Model) -> str:
    """Where a model without a live rollout stands, in plain words."""
    position, last = model.position, model.last
    if last is None or position.champion is None:
        ended = f"; the last rollout ended as {position.state}: {last.reason}" if last else ""
        return f"no version serves yet: `slipway register` or `slipway train` brings one{ended}"
    standby = f"; version {position.standby.version} is warm for a rollback" if position.standby else ""
    return (
        f"version {position.champion.version} answers all requests{standby}; "
        f"the last rollout (version {last.subject.version}) ended as {position.state}: {last.reason}"
    )


def waiting_text(model: Model) -> str:
    """Who waits for the live rollout to end."""
    return f"; version {model.waiting.subject.version} waits" if model.waiting else ""
