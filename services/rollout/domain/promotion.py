"""Who may be started, who may skip steps, and what a promotion by hand must not skip."""

from collections.abc import Sequence

from services.rollout.domain.gates import Gates, RoleMissing, closed_by
from services.rollout.domain.log_entry import Version
from services.rollout.domain.look import gates_of, windows_of
from services.rollout.domain.moment import Moment
from services.rollout.domain.policy import Policy
from services.rollout.domain.position import Position
from services.rollout.domain.state_machine import STEPS, State
from slipway.errors import Conflict, InvalidInput
from slipway.spec_sections import Rollout


def is_known_good(position: Position, rollout: Rollout, subject: Version) -> bool:
    """Whether it was champion lately, and left without harm: such a version needs no step again."""
    return rollout.rollback_window > 0 and subject in position.previous[-rollout.rollback_window :]


def rivals_of(
    position: Position, rollout: Rollout, rivals: Sequence[Version], *, subject: Version
) -> tuple[Version, ...]:
    """Those that an A/B step can still compare."""
    if not _has_contest(rollout):
        return ()
    return tuple(rival for rival in rivals if rival not in (subject, position.champion))


def check_rivals(
    position: Position, rollout: Rollout, rivals: Sequence[Version], *, subject: Version
) -> None:
    """Refuse rivals that no step would compare.

    Raises:
        InvalidInput: The spec has no A/B step, or one of them is named twice, or is the champion.
        Conflict: There is no champion.
    """
    if not rivals:
        return
    if not _has_contest(rollout):
        raise InvalidInput("rivals need a step of the kind `ab` in rollout.steps; the spec has none")
    if position.champion is None:
        raise Conflict("rivals need a champion to be compared with; start one version first")
    names = [version.version for version in (position.champion, subject, *rivals)]
    if twice := [name for at, name in enumerate(names) if name in names[:at]]:
        raise InvalidInput(f"version {twice[0]} is named twice among champion, version and rivals")


def check_promotion(position: Position, policy: Policy, *, roles: Sequence[str], at: Moment) -> None:
    """Refuse a promotion by hand of what cannot go up, or would go past a signature.

    Raises:
        Conflict: Nothing is on its way, it is not ready yet, or a freeze window is open.
        RoleMissing: A step that is skipped asks for the approval of a role that the caller has not.
    """
    if not position.is_live:
        raise Conflict("no rollout is under way: there is nothing to promote")
    if position.state is State.WARMING:
        raise Conflict(
            "its replicas are not ready yet, or its way is closed; promote it once it is in a step"
        )
    if position.state not in STEPS:
        return
    if frozen := _frozen(position, policy, at):
        raise Conflict(f"{frozen}: nothing goes on before it ends; an abort or a rollback would")
    if missing := sorted(skipped_approvals(position, policy) - set(roles)):
        raise RoleMissing(
            f"a step that would be skipped needs the approval of {missing[0]!r}; its holder can promote",
            role=missing[0],
        )


def skipped_approvals(position: Position, policy: Policy) -> frozenset[str]:
    """Roles whose approval a promotion by hand would go past, and so stand for."""
    if position.state not in STEPS:
        return frozenset()
    open_gates = gates_of(position, policy)
    wanted = {step.approval for step in policy.rollout.steps[position.step + 1 :]}
    wanted |= set() if open_gates.approved_by else {open_gates.approval_role}
    return frozenset(wanted - {""})


def _frozen(position: Position, policy: Policy, at: Moment) -> str:
    return closed_by(Gates(), windows_of(position, policy.rollout), now_s=at.now_s)


def _has_contest(rollout: Rollout) -> bool:
    return any(step.kind == "ab" for step in rollout.steps)
