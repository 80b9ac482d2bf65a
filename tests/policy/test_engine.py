"""Decisions: reproducible, remembered as long as the policies stay, told in words; any failure denies."""

import logging
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY

from slipway.errors import Denied
from slipway.identity.caller import Caller
from slipway.policy.engine import Policies
from slipway.policy.resource import Resource
from slipway.policy.rules import Rules, read_rules

ANNA = Caller(principal="anna", tenant="shop", roles=("viewer",), method="api_key", credential_id="k1")
MODEL = Resource(tenant="shop", model="m", data_classes=("personal",), environment="production")
MORE = b'@id("more")\npermit (principal == Principal::"shop/anna", action == Action::"infer", resource);'


class Changing:
    """Rules that a test changes."""

    def __init__(self) -> None:
        self.rules = read_rules({})
        self.it = Policies(lambda: self.rules)

    def put(self, text: bytes) -> None:
        self.rules = read_rules({"policies/own.cedar": text})


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_denial_says_who_what_and_which_role_would_allow_it() -> None:
    with pytest.raises(Denied) as refusal:
        Changing().it.authorize(ANNA, "rollout", replace(MODEL, version="3"))
    assert str(refusal.value) == (
        "anna (tenant shop, roles: viewer) may not rollout version 3 of model 'm': "
        "role operator or owner or admin would allow it"
    )


def test_a_denial_is_counted_by_action_and_logged_with_its_id(caplog: pytest.LogCaptureFixture) -> None:
    it, before = Changing().it, counted("slipway_policy_denials_total", action="train")
    with caplog.at_level(logging.WARNING), pytest.raises(Denied):
        it.authorize(ANNA, "train", MODEL)
    assert counted("slipway_policy_denials_total", action="train") == before + 1
    (record,) = caplog.records
    decision = it.verdict(ANNA, "train", MODEL).decision
    assert (record.decision_id, record.policy_hash) == (decision.decision_id, decision.policy_hash)  # type: ignore[attr-defined]


def test_the_same_question_has_the_same_id_in_any_process_and_with_any_credential() -> None:
    first = Changing().it.authorize(ANNA, "read", MODEL)
    assert Changing().it.authorize(replace(ANNA, credential_id="k2"), "read", MODEL) == first
    others = (
        (replace(ANNA, principal="bob"), "read", MODEL),
        (replace(ANNA, roles=("viewer", "app")), "read", MODEL),
        (replace(ANNA, method="jwt"), "read", MODEL),
        (replace(ANNA, roles=("app",)), "infer", MODEL),
        (ANNA, "read", replace(MODEL, model="n")),
        (ANNA, "read", replace(MODEL, purpose="credit")),
    )
    ids = {Changing().it.authorize(*question).decision_id for question in others}
    assert len(ids | {first.decision_id}) == len(others) + 1


def test_new_policies_are_asked_at_once_and_their_hash_is_another() -> None:
    it = Changing()
    before = it.it.authorize(ANNA, "read", MODEL)
    assert not it.it.allows(ANNA, "infer", MODEL)
    it.put(MORE)
    after = it.it.authorize(ANNA, "infer", MODEL)
    assert after.policy_hash == it.it.policy_hash != before.policy_hash
    it.put(b"")
    assert not it.it.allows(ANNA, "infer", MODEL)


def test_the_name_of_a_principal_is_his_tenant_and_himself() -> None:
    it = Changing()
    it.put(MORE)
    assert it.it.allows(ANNA, "infer", MODEL)
    for tenant, name in (("mall", "anna"), ("shop/anna", "x"), ("shop", "anna/x")):
        other = replace(ANNA, tenant=tenant, principal=name)
        assert not it.it.allows(other, "infer", replace(MODEL, tenant=tenant))


def test_what_users_forbid_binds_an_admin_and_what_is_built_in_binds_users() -> None:
    it, admin = Changing(), replace(ANNA, roles=("admin",))
    it.put(
        b"permit (principal, action, resource);"
        b'forbid (principal, action == Action::"infer", resource is Model) '
        b'when { resource.data_classes.contains("personal") };'
    )
    assert not it.it.allows(admin, "infer", MODEL)
    assert it.it.allows(admin, "infer", replace(MODEL, data_classes=("public",)))
    assert it.it.allows(replace(ANNA, roles=()), "keys", MODEL)
    assert not it.it.allows(admin, "keys", replace(MODEL, tenant="mall"))
    assert not it.it.allows(admin, "internal", Resource(tenant="shop"))


@pytest.mark.parametrize(
    ("action", "resource"), [("fly", MODEL), ("approve", Resource(tenant="shop")), ("internal", MODEL)]
)
def test_a_question_that_the_schema_does_not_know_is_denied_and_counted(
    action: str, resource: Resource
) -> None:
    before = counted("slipway_policy_errors_total")
    with pytest.raises(Denied, match="could not be evaluated"):
        Changing().it.authorize(replace(ANNA, roles=("admin",)), action, resource)
    assert counted("slipway_policy_errors_total") == before + 1


def test_a_policy_that_fails_denies_even_where_another_allows(caplog: pytest.LogCaptureFixture) -> None:
    it = Changing()
    # Cedar passes over a policy that fails; a `forbid` passed over would let everybody through.
    it.put(b'forbid (principal, action == Action::"read", resource) when { 9223372036854775807 + 1 == 1 };')
    before = counted("slipway_policy_errors_total")
    with caplog.at_level(logging.ERROR), pytest.raises(Denied, match="could not be evaluated"):
        it.it.authorize(ANNA, "read", MODEL)
    assert counted("slipway_policy_errors_total") == before + 1
    assert "overflow" in caplog.text


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway.policy.engine._MOST_DECISIONS", 3)
    asked: list[Rules] = []
    rules = read_rules({})

    def now() -> Rules:
        asked.append(rules)
        return rules

    it = Policies(now)
    for name in "abcde":
        it.authorize(ANNA, "read", replace(MODEL, model=name))
    assert len(it._verdicts) <= 3
    assert len(asked) == 5
