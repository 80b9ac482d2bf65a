"""One function per command of an operator: read, decide, write."""

from collections.abc import Sequence

from services.rollout.control import Control, Model, Move
from services.rollout.domain import gates
from services.rollout.domain.log_entry import WHOLE_PPM, Version
from services.rollout.domain.look import gates_of
from services.rollout.domain.promotion import check_promotion, check_rivals
from services.rollout.domain.state_machine import STEPS, Trigger
from services.rollout.handlers import start_or_wait
from services.rollout.rows import Candidate
from slipway.errors import Conflict
from slipway.ids import new_id


async def start_rollout(control: Control, candidate: Candidate) -> None:
    """Roll a version out now, or let it wait for the live rollout to end.

    Raises:
        NotFound: The model is not known.
        InvalidInput: Rivals that no A/B step would compare.
        Conflict: The version serves already, or is on its way.
    """
    async with control.locked(candidate.model) as model:
        _check_is_new(model, candidate.subject)
        rollout = model.newest.rollout
        check_rivals(model.position, rollout, candidate.rivals, subject=candidate.subject)
        await start_or_wait(control, model, candidate)


def _check_is_new(model: Model, subject: Version) -> None:
    position = model.position
    if position.champion and position.champion.version == subject.version:
        raise Conflict(f"{model.name}: version {subject.version} is the champion already; nothing to do")
    on_their_way = (position.subject, *position.rivals)
    if any(version and version.version == subject.version for version in on_their_way):
        raise Conflict(
            f"{model.name}: version {subject.version} is being rolled out; `slipway status` follows it"
        )


async def pause(control: Control, name: str, *, actor: str, reason: str) -> None:
    """Stop the way up until `resume`; a second pause changes nothing.

    Raises:
        Conflict: No rollout is under way.
    """
    async with control.locked(name) as model:
        _check_is_live(model, "pause")
        if not model.position.paused_by:
            await _sign(control, model, Trigger.PAUSE, actor=actor, reason=reason)


async def resume(control: Control, name: str, *, actor: str, reason: str) -> None:
    """Go on where a pause stopped; without one it changes nothing.

    Raises:
        Conflict: No rollout is under way.
    """
    async with control.locked(name) as model:
        _check_is_live(model, "resume")
        if model.position.paused_by:
            await _sign(control, model, Trigger.RESUME, actor=actor, reason=reason)


async def approve(
    control: Control,
    name: str,
    *,
    actor: str,
    roles: Sequence[str],
    reason: str,
    subject: Version | None = None,
) -> None:
    """Sign the present step, so that the next may follow; a second signature changes nothing.

    Raises:
        Conflict: No step is under way, or it needs no approval, or it is not of `subject`, who was meant.
        Denied: The actor has not the role.
    """
    async with control.locked(name) as model:
        _check_is_meant(model, subject)
        if model.position.state not in STEPS:
            raise Conflict(f"{name}: no step is under way that could be approved")
        gates.approve(gates_of(model.position, model.policy), actor=actor, roles=roles)
        if not model.position.approved_by:
            await _sign(control, model, Trigger.APPROVE, actor=actor, reason=reason)


async def promote(
    control: Control,
    name: str,
    *,
    actor: str,
    roles: Sequence[str],
    reason: str,
    subject: Version | None = None,
) -> None:
    """Skip what is left of the steps, or of the bake.

    Raises:
        Conflict: Nothing is on its way, it is not ready yet, a freeze window is open, or it is not `subject`.
        Denied: A skipped step needs a signature that the actor cannot give.
    """
    async with control.locked(name) as model:
        _check_is_meant(model, subject)
        check_promotion(model.position, model.policy, roles=roles, at=control.moment())
        await control.move(
            model,
            Move(
                trigger=Trigger.PROMOTE,
                subject=_subject(model),
                weight_ppm=WHOLE_PPM,
                actor=actor,
                reason=reason or "promoted by hand",
            ),
        )


async def abort(control: Control, name: str, *, actor: str, reason: str) -> None:
    """End the live rollout and give all requests back to the champion; without one, do nothing."""
    async with control.locked(name) as model:
        if model.position.is_live:
            await _take_back(control, model, Trigger.ABORT, actor=actor, reason=reason or "aborted by hand")


async def rollback(control: Control, name: str, *, actor: str, reason: str) -> None:
    """Return to the champion before; one that is no longer warm is warmed first.

    Raises:
        Conflict: There is none.
    """
    async with control.locked(name) as model:
        position = model.position
        why = reason or "rolled back by hand"
        if position.is_live or position.standby:
            await _take_back(control, model, Trigger.ROLLBACK, actor=actor, reason=why)
        elif position.previous:
            await _restore(control, model, actor=actor, reason=why)
        else:
            raise Conflict(f"{name}: there is no former version to return to")


def _check_is_live(model: Model, verb: str) -> None:
    if not model.position.is_live:
        raise Conflict(f"{model.name}: no rollout is under way: there is nothing to {verb}")


def _check_is_meant(model: Model, subject: Version | None) -> None:
    """What was permitted for one version does not hold for the next."""
    if subject is not None and model.position.subject != subject:
        raise Conflict(f"{model.name}: version {subject.version} is no longer on its way; look again")


def _subject(model: Model) -> Version:
    subject = model.position.subject or model.position.champion
    assert subject is not None
    return subject


async def _sign(control: Control, model: Model, trigger: Trigger, *, actor: str, reason: str) -> None:
    await control.move(
        model,
        Move(trigger=trigger, subject=_subject(model), actor=actor, reason=reason),
    )


async def _take_back(control: Control, model: Model, trigger: Trigger, *, actor: str, reason: str) -> None:
    # Who takes one version back by hand does not want the next to start by itself at that moment.
    note = f"{trigger} by {actor}: it does not follow by itself"
    move = Move(trigger=trigger, subject=_subject(model), actor=actor, reason=reason, drop_waiting=note)
    await control.move(model, move)


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
