"""Role x action x tenant: what the built-in policies allow, written down a second time by hand."""

from dataclasses import replace

import pytest

from slipway.errors import Denied
from slipway.identity.caller import STACK_OPERATOR, Caller
from slipway.policy.access import builtin_policies
from slipway.policy.engine import ROLES
from slipway.policy.resource import EVERY_TENANT, Resource

#                viewer app labeler reviewer operator owner admin
MATRIX = """
    infer        .      x   .       .        .        x     x
    job          .      x   .       .        .        x     x
    feedback     .      x   x       x        .        x     x
    explain      .      .   .       x        x        x     x
    review       .      .   .       x        .        x     x
    read         x      x   x       x        x        x     x
    apply        .      .   .       .        .        x     x
    register     .      .   .       .        .        x     x
    train        .      .   .       .        x        x     x
    rollout      .      .   .       .        x        x     x
    rollback     .      .   .       .        x        x     x
    approve      .      .   .       .        .        x     x
    keys         .      .   .       .        .        .     x
    limits       .      .   .       .        .        .     x
    audit        .      .   .       .        x        x     x
    suspects     .      .   .       .        x        x     x
    policy       .      .   .       .        .        .     x
    internal     .      .   .       .        .        .     .
"""
EXPECTED = {
    (role, words[0]): mark == "x"
    for words in (line.split() for line in MATRIX.strip().splitlines())
    for role, mark in zip(ROLES, words[1:], strict=True)
}
ACTIONS = tuple(dict.fromkeys(action for _, action in EXPECTED))
OWN = Resource(tenant="shop", model="m", data_classes=("internal",), environment="production")
KINDS = {
    "model": OWN,
    "version": replace(OWN, version="3"),
    "tenant": Resource(tenant="shop"),
}
ONLY_ON = {"approve": ("model", "version"), "internal": ("tenant",)}
POLICIES = builtin_policies()


def caller(*roles: str, tenant: str = "shop") -> Caller:
    return Caller(principal="anna", tenant=tenant, roles=roles, method="api_key", credential_id="k")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("action", ACTIONS)
def test_each_role_may_do_what_the_table_says_in_its_own_tenant(action: str, kind: str) -> None:
    is_asked = kind in ONLY_ON.get(action, KINDS)
    allowed = {role: POLICIES.allows(caller(role), action, KINDS[kind]) for role in ROLES}
    assert allowed == {role: is_asked and EXPECTED[role, action] for role in ROLES}


@pytest.mark.parametrize("other", ["mall", EVERY_TENANT, ""])
@pytest.mark.parametrize("action", ACTIONS)
def test_nobody_may_do_anything_in_another_tenant(action: str, other: str) -> None:
    found = [
        (role, kind)
        for role in (*ROLES, "service", "risk")
        for kind, resource in KINDS.items()
        if POLICIES.allows(caller(role), action, replace(resource, tenant=other, approvers=("risk",)))
    ]
    assert found == []


@pytest.mark.parametrize("action", ACTIONS)
def test_a_role_that_nobody_defined_and_no_role_may_do_nothing(action: str) -> None:
    for who in (caller("king"), caller(), caller("Admin"), caller("admin ")):
        assert not any(POLICIES.allows(who, action, resource) for resource in KINDS.values())


def test_several_roles_may_do_what_each_of_them_may() -> None:
    both = caller("viewer", "labeler")
    assert [a for a in ACTIONS if POLICIES.allows(both, a, OWN)] == ["feedback", "read"]


def test_the_stacks_own_operator_serves_all_tenants_and_so_do_its_services() -> None:
    service = replace(caller("service", tenant="default"), method="service")
    for tenant in ("shop", EVERY_TENANT):
        assert POLICIES.allows(STACK_OPERATOR, "keys", Resource(tenant=tenant))
        assert POLICIES.allows(STACK_OPERATOR, "internal", Resource(tenant=tenant))
        assert POLICIES.allows(service, "internal", Resource(tenant=tenant))
    assert not any(POLICIES.allows(service, a, OWN) for a in ACTIONS)


def test_the_role_service_alone_makes_nobody_a_part_of_the_stack() -> None:
    for who in (
        caller("service"),
        replace(caller("app"), method="service"),
        replace(STACK_OPERATOR, principal="mallory"),
    ):
        assert not POLICIES.allows(who, "internal", Resource(tenant=who.tenant))
        assert not POLICIES.allows(who, "read", Resource(tenant="elsewhere", model="m"))


@pytest.mark.parametrize("role", ["owner", "admin", "risk"])
def test_who_trained_a_version_does_not_approve_it(role: str) -> None:
    asked = replace(OWN, version="3", approvers=("risk",))
    own, others = replace(asked, trained_by=("anna", "bob")), replace(asked, trained_by=("bob",))
    with pytest.raises(Denied, match="forbidden by separation-of-duties"):
        POLICIES.authorize(caller(role), "approve", own)
    POLICIES.authorize(caller(role), "approve", others)


def test_a_role_that_a_step_asks_for_sees_the_model_and_signs_and_does_nothing_else() -> None:
    asked = replace(OWN, version="3", approvers=("legal", "risk"))
    for resource in (asked, replace(asked, version="")):
        assert [a for a in ACTIONS if POLICIES.allows(caller("risk"), a, resource)] == ["read", "approve"]
    assert not POLICIES.allows(caller("fraud"), "approve", asked)
