"""Who may do what: Cedar, in this process, denied by default."""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import cedarpy
from prometheus_client import Counter, Gauge

from slipway.errors import Denied
from slipway.identity.caller import STACK_OPERATOR, Caller
from slipway.policy.resource import Resource
from slipway.policy.rules import Rules, schema

log = logging.getLogger(__name__)

DENIALS: Final = Counter("slipway_policy_denials_total", "Actions that no policy allowed", ["action"])
FAILURES: Final = Counter("slipway_policy_errors_total", "Decisions that could not be made; they deny")
NOT_IN_FORCE: Final = Gauge("slipway_policy_files_not_in_force", "1 while the policy files are not good")

SERVICE: Final = "service"
ROLES: Final = ("viewer", "app", "labeler", "reviewer", "operator", "owner", "admin")
_MOST_DECISIONS: Final = 8192
_ID_BYTES: Final = 16
_SHOWN_ERRORS: Final = 300

Key = tuple[str, str, tuple[str, ...], str, str, Resource]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """That an action was allowed, and by which policies; the same question has the same id again."""

    decision_id: str
    policy_hash: str


UNDECIDED: Final = Decision(decision_id="", policy_hash="")  # for what is older than the policies


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the policies say.

    Attributes:
        reasons: The policies that decided; none where nothing allows it.
        errors: What Cedar could not evaluate: the verdict is then a denial.
        decision: Its id.
    """

    is_allowed: bool
    reasons: tuple[str, ...]
    errors: tuple[str, ...]
    decision: Decision


class Policies:
    """The policies in force, and what they decided so far."""

    def __init__(self, rules: Callable[[], Rules]) -> None:
        """Args beyond the obvious: `rules` gives those in force now, which may be others each time."""
        self._rules = rules
        self._decided_by: Rules | None = None
        self._verdicts: dict[Key, Verdict] = {}
        self._words: dict[str, str] = {}  # of denials, by decision id: who could is seven questions more

    @property
    def policy_hash(self) -> str:
        """Of the policies in force."""
        return self._rules().policy_hash

    def authorize(self, caller: Caller, action: str, resource: Resource) -> Decision:
        """Whether the caller may do this; returns the decision for the record.

        Raises:
            Denied: He may not; says who, what, and which role would allow it.
        """
        verdict = self.verdict(caller, action, resource)
        if verdict.is_allowed:
            return verdict.decision
        DENIALS.labels(action).inc()
        words = self._words.get(verdict.decision.decision_id)
        if words is None:
            words = words_of(self._rules(), caller, verdict, action=action, resource=resource)
            self._words[verdict.decision.decision_id] = words
        decided = {"decision_id": verdict.decision.decision_id, "policy_hash": verdict.decision.policy_hash}
        log.warning("denied: %s", words, extra=decided)
        raise Denied(words)

    def allows(self, caller: Caller, action: str, resource: Resource) -> bool:
        """Whether the caller may do this, asked in order to leave out what he may not see."""
        return self.verdict(caller, action, resource).is_allowed

    def verdict(self, caller: Caller, action: str, resource: Resource) -> Verdict:
        """What the policies say; remembered as long as they are in force."""
        rules = self._rules()
        if rules is not self._decided_by or len(self._verdicts) >= _MOST_DECISIONS:
            self._decided_by, self._verdicts, self._words = rules, {}, {}
        # The credential does not decide, and a token lives for minutes: it would crowd out what is of use.
        key = (caller.principal, caller.tenant, caller.roles, caller.method, action, resource)
        verdict = self._verdicts.get(key)
        if verdict is None:
            verdict = self._verdicts[key] = decide(rules, caller, action=action, resource=resource)
        return verdict


def is_stack(caller: Caller) -> bool:
    """Whether this is the stack's own operator or one of its services, who serve all tenants."""
    return caller == STACK_OPERATOR or (caller.method == "service" and SERVICE in caller.roles)


def decide(rules: Rules, caller: Caller, *, action: str, resource: Resource) -> Verdict:
    """What the policies say; a failure denies, and is counted and told."""
    verdict = _evaluate(rules, caller, action=action, resource=resource)
    if verdict.errors:
        FAILURES.inc()
        log.error("a decision could not be made, so it denies: %s", "; ".join(verdict.errors)[:_SHOWN_ERRORS])
    return verdict


def decision_id(policy_hash: str, caller: Caller, *, action: str, resource: Resource) -> str:
    """A digest of the question and of the policies that it was put to."""
    who = [caller.principal, caller.tenant, sorted(caller.roles), caller.method]
    what = [getattr(resource, name) for name in resource.__slots__]
    question = json.dumps([policy_hash, who, action, what]).encode()
    return hashlib.blake2b(question, digest_size=_ID_BYTES).hexdigest()


def _evaluate(rules: Rules, caller: Caller, *, action: str, resource: Resource) -> Verdict:
    made = Decision(
        decision_id=decision_id(rules.policy_hash, caller, action=action, resource=resource),
        policy_hash=rules.policy_hash,
    )
    request = {
        "principal": _principal_uid(caller),
        "action": {"type": "Action", "id": action},
        "resource": _resource_uid(resource),
        "context": {"trained_by": resource.trained_by} if action == "approve" else {},
    }
    entities = json.dumps([_principal(caller), *_resources(resource)])
    try:
        found = cedarpy.is_authorized(request, rules.engine_set, entities, schema())
    except ValueError as error:
        return Verdict(is_allowed=False, reasons=(), errors=(str(error),), decision=made)
    diagnostics = found.diagnostics
    # Cedar passes over a policy that fails, and a `forbid` passed over forbids nothing: a failure denies.
    return Verdict(
        is_allowed=found.allowed and not diagnostics.errors,
        reasons=tuple(str(rules.by_id[reason]) for reason in diagnostics.reasons),
        errors=tuple(diagnostics.errors),
        decision=made,
    )


def words_of(rules: Rules, caller: Caller, verdict: Verdict, *, action: str, resource: Resource) -> str:
    """Why it is denied, and who could."""
    roles = ", ".join(caller.roles) or "none"
    said = f"{caller.principal} (tenant {caller.tenant}, roles: {roles}) may not {action} {resource}"
    if verdict.errors:
        return f"{said}: a policy could not be evaluated, which denies; see the service's log"
    if verdict.reasons:
        return f"{said}: forbidden by {', '.join(verdict.reasons)}"
    could = [
        role
        for role in ROLES
        if _evaluate(rules, replace(caller, roles=(role,)), action=action, resource=resource).is_allowed
    ]
    by = f"role {' or '.join(could)} would allow it" if could else "no role of the built-in ones allows it"
    return f"{said}: {by}"


def _principal_uid(caller: Caller) -> dict[str, str]:
    tenant = caller.tenant.replace("%", "%25").replace("/", "%2F")  # a slash ends the tenant
    return {"type": "Principal", "id": f"{tenant}/{caller.principal}"}


def _resource_uid(resource: Resource) -> dict[str, str]:
    if not resource.model:
        return {"type": "Tenant", "id": resource.tenant}
    if resource.version:
        return {"type": "Version", "id": f"{resource.model}/{resource.version}"}
    return {"type": "Model", "id": resource.model}


def _tenant(name: str) -> dict[str, Any]:
    return {"__entity": {"type": "Tenant", "id": name}}


def _principal(caller: Caller) -> dict[str, Any]:
    return {
        "uid": _principal_uid(caller),
        "attrs": {
            "name": caller.principal,
            "tenant": _tenant(caller.tenant),
            "roles": caller.roles,
            "method": caller.method,
            "is_stack": is_stack(caller),
        },
        "parents": [{"type": "Role", "id": role} for role in caller.roles],
    }


def _resources(resource: Resource) -> list[dict[str, Any]]:
    tenant = {"type": "Tenant", "id": resource.tenant}
    found = [{"uid": tenant, "attrs": {"tenant": _tenant(resource.tenant)}, "parents": []}]
    if not resource.model:
        return found
    attributes = {
        "tenant": _tenant(resource.tenant),
        "data_classes": resource.data_classes,
        "purpose": resource.purpose,
        "environment": resource.environment,
        "approvers": resource.approvers,
    }
    model = {"type": "Model", "id": resource.model}
    found.append({"uid": model, "attrs": attributes, "parents": [tenant]})
    if resource.version:
        found.append({"uid": _resource_uid(resource), "attrs": attributes, "parents": [model]})
    return found
