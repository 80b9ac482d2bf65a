"""Applying a spec: validated as a whole, then stored and published."""

import hashlib
from collections.abc import Callable

from services.rollout.control import Control, Model
from services.rollout.domain.policy import of_spec
from services.rollout.domain.recipe import check_recipe
from services.rollout.domain.spec_change import check_same_signature
from services.rollout.messages import outgoing_spec, to_spec
from services.rollout.notices import check_receivers
from services.rollout.rows import SpecRow
from slipway import spec
from slipway.callback_urls import CallbackPolicy
from slipway.errors import Denied, InvalidInput, NotFound
from slipway.identity.caller import Caller
from slipway.policy.engine import is_stack
from slipway.policy.resource import Resource, resource_of
from slipway.spec import Spec

May = Callable[[Resource], object]


async def apply_spec(
    control: Control,
    *,
    yaml: str,
    recipe: str,
    actor: str,
    receivers: CallbackPolicy,
    who: Caller,
    may_apply: May,
) -> tuple[SpecRow, bool]:
    """Store a spec and publish it; returns it and whether anything changed.

    Args:
        yaml: The spec as it was written.
        recipe: Python source; may be empty.
        actor: Who stands in the log.
        receivers: Where notices may go.
        who: Whose model it will be.
        may_apply: Raises Denied where he may not declare such a model.
    Raises:
        Denied: Not such a model, or not under this name.
        InvalidInput: Every problem of the spec with line and key, or of the recipe with its line, or a
            receiver of notices that is not allowed.
        Conflict: The model exists with another signature.
    """
    given = spec.parse(yaml)
    policy = of_spec(given)
    tenant = _tenant(control, given, who=who, may_apply=may_apply)
    _check_recipe(given, recipe)
    check_receivers(given, receivers)
    try:
        control.find(given.name)
    except NotFound:
        now_s = control.clock.now_s()
        row = _row(given, yaml=yaml, recipe=recipe, actor=actor, revision=1, tenant=tenant, now_s=now_s)
        await control.store.add_spec(control.writer, row, messages=[outgoing_spec(to_spec(row))])
        control.add(Model(row=row, spec=given, newest=policy))
        control.relay.wake()
        return row, True
    return await _revise(control, given, yaml=yaml, recipe=recipe, actor=actor)


async def _revise(
    control: Control, given: Spec, *, yaml: str, recipe: str, actor: str
) -> tuple[SpecRow, bool]:
    async with control.locked(given.name) as model:
        if model.row.digest == _digest(yaml, recipe):
            return model.row, False
        check_same_signature(model.spec, given)
        revision = model.row.revision + 1
        now_s = control.clock.now_s()
        tenant = model.row.tenant
        row = _row(
            given, yaml=yaml, recipe=recipe, actor=actor, revision=revision, tenant=tenant, now_s=now_s
        )
        await control.store.add_spec(control.writer, row, messages=[outgoing_spec(to_spec(row))])
        # A live rollout goes on by the policy that it began with.
        model.row, model.spec, model.newest = row, given, of_spec(given)
    control.relay.wake()
    return row, True


def _tenant(control: Control, given: Spec, *, who: Caller, may_apply: May) -> str:
    """Whose model it is, or will be; he may declare it as it was and as it shall be."""
    try:
        known = control.find(given.name)
    except NotFound:
        may_apply(resource_of(given, tenant=who.tenant))
        return who.tenant
    tenant = known.row.tenant
    if tenant != who.tenant and not is_stack(who):
        # Names are common to all tenants: this one cannot be had, and more is not said.
        raise Denied(
            f"{who.principal} may not apply model {given.name!r}: the name is not free; take another"
        )
    may_apply(resource_of(known.spec, tenant=tenant))
    may_apply(resource_of(given, tenant=tenant))
    return tenant


def _check_recipe(given: Spec, recipe: str) -> None:
    if given.recipe is None:
        if recipe.strip():
            raise InvalidInput(f"{given.name}: a recipe was sent, but the spec has no key `recipe`")
        return
    if not recipe.strip():
        raise InvalidInput(
            f"{given.name}: the spec names recipe {given.recipe!r}, but it was not sent or is empty"
        )
    check_recipe(given.recipe, recipe)


def _row(
    given: Spec, *, yaml: str, recipe: str, actor: str, revision: int, tenant: str, now_s: float
) -> SpecRow:
    return SpecRow(
        model=given.name,
        revision=revision,
        tenant=tenant,
        yaml=yaml,
        recipe=recipe,
        recipe_digest=hashlib.sha256(recipe.encode()).hexdigest() if recipe else "",
        digest=_digest(yaml, recipe),
        applied_by=actor or "unknown",
        applied_at_s=now_s,
    )


def _digest(yaml: str, recipe: str) -> str:
    return hashlib.sha256((yaml + recipe).encode()).hexdigest()
