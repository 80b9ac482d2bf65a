"""The models: what their specs demand and where their routes lead."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message

from services.gateway import metrics
from services.gateway.domain.coding import coder_of
from services.gateway.domain.contract import Contract, contract_of
from services.gateway.domain.defending import Guard, guard_of
from services.gateway.domain.framing import frame
from services.gateway.domain.routing import Arm, Route
from services.gateway.record_form import RecordForm
from services.gateway.snapshots import read_messages
from slipway import input_profiles, profiles
from slipway.changes import Changes
from slipway.errors import InvalidInput, NotFound
from slipway.identity.caller import DEFAULT_TENANT
from slipway.policy.resource import Resource, resource_of
from slipway.spec import parse
from slipway.v1.rollout_pb2 import Arm as ArmMessage
from slipway.v1.rollout_pb2 import ModelSpec, RouteTable

ROUTES_SNAPSHOT: Final = "routes.snapshot"
SPECS_SNAPSHOT: Final = "model_specs.snapshot"

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model as requests meet it."""

    name: str
    tenant: str
    resource: Resource  # as policies see it
    contract: Contract
    route: Route
    forms: Mapping[str, RecordForm]  # by version
    guards: Mapping[str, Guard]  # by version


class Catalog:
    """Specs and routes, newest only; both together make a model."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.is_restored = False
        self.is_caught_up = False
        self._specs: dict[str, ModelSpec] = {}
        self._routes: dict[str, RouteTable] = {}
        self._contracts: dict[str, Contract] = {}
        self._resources: dict[str, Resource] = {}
        self._models: dict[str, Model] = {}

    @property
    def is_known(self) -> bool:
        """Whether specs and routes have been read: from their topics, or from the last snapshot."""
        return self.is_caught_up or self.is_restored

    @property
    def models(self) -> Mapping[str, Model]:
        """All models by name."""
        return self._models

    def find(self, name: str, *, tenant: str) -> Model:
        """The model that a tenant may use.

        Raises:
            NotFound: There is none of that name, or it is another tenant's.
        """
        model = self._models.get(name)
        if model is None or model.tenant != tenant:
            raise NotFound(f"model {name[:80]!r} is not known; `slipway apply` declares one")
        return model

    def apply_spec(self, spec: ModelSpec) -> None:
        """Take a spec unless a newer revision is known.

        Raises:
            InvalidInput: Its YAML is not a model spec.
        """
        known = self._specs.get(spec.name)
        if known is not None and spec.revision < known.revision:
            return
        parsed = parse(spec.yaml)
        self._contracts[spec.name] = contract_of(parsed)
        self._resources[spec.name] = resource_of(parsed, tenant=spec.tenant or DEFAULT_TENANT)
        self._specs[spec.name] = spec
        self._rebuild(spec.name)

    def apply_route(self, table: RouteTable) -> None:
        """Take a route table if its epoch is newer than the one in force."""
        known = self._routes.get(table.model)
        if known is not None and table.epoch <= known.epoch:
            return
        self._routes[table.model] = table
        metrics.ROUTE_EPOCH.labels(table.model).set(table.epoch)
        self._rebuild(table.model)

    def dump_specs(self) -> bytes | None:
        """All specs, once they are known."""
        return _dump(self._specs) if self.is_known else None

    def dump_routes(self) -> bytes | None:
        """All route tables, once they are known."""
        return _dump(self._routes) if self.is_known else None

    def restore(self, state_dir: Path) -> None:
        """Take what the snapshots hold, if both are there and whole."""
        specs = _parse_all(read_messages(state_dir / SPECS_SNAPSHOT), ModelSpec)
        routes = _parse_all(read_messages(state_dir / ROUTES_SNAPSHOT), RouteTable)
        if specs is None or routes is None:
            return
        for spec in specs:
            self.apply_spec(spec)
        for table in routes:
            self.apply_route(table)
        self.is_restored = True

    def _rebuild(self, name: str) -> None:
        spec, contract = self._specs.get(name), self._contracts.get(name)
        if spec is not None and contract is not None:
            table = self._routes.get(name, RouteTable(model=name))
            route = _route(table)
            self._models[name] = Model(
                name=name,
                tenant=spec.tenant or DEFAULT_TENANT,
                resource=self._resources[name],
                contract=contract,
                route=route,
                forms=_forms(contract, route, table),
                guards={arm.version: _guard(contract, arm) for arm in table.arms},
            )
        self.changes.notify()


def _route(table: RouteTable) -> Route:
    arms = tuple(
        Arm(
            version=arm.version,
            digest=arm.digest,
            upstream=arm.upstream,
            role=arm.role,
            weight_ppm=arm.weight_ppm,
            mirror_ppm=arm.mirror_ppm,
            max_mirrored_per_s=arm.max_mirrored_per_s,
        )
        for arm in table.arms
    )
    return Route(model=table.model, epoch=table.epoch, salt=table.salt, arms=arms)


def _forms(contract: Contract, route: Route, table: RouteTable) -> dict[str, RecordForm]:
    forms = {}
    for arm, entry in zip(route.arms, table.arms, strict=True):
        coder = coder_of(contract, [profiles.from_proto(feature) for feature in entry.profile.features])
        forms[arm.version] = RecordForm(contract, arm, epoch=route.epoch, coder=coder)
    return forms


def _guard(contract: Contract, arm: ArmMessage) -> Guard:
    """What watches over a version; a profile that cannot be used is as none, and the guard says so."""
    defence = contract.defence
    names = (*contract.numeric, *(feature.name for feature in contract.categorical))
    profile, fault = None, ""
    if arm.HasField("input_profile"):
        try:
            profile = input_profiles.from_message(arm.input_profile)
        except InvalidInput as error:
            fault = str(error)
        if profile is not None and profile.features != names:
            profile, fault = None, "the input profile is that of other features"
    guard = guard_of(
        defence,
        classes=contract.classes,
        density=profile.density if profile else None,
        calibration=profile.calibration if profile else None,
        agreement=profile.agreement if profile else None,
    )
    return replace(guard, fault=fault) if fault else guard


def _dump(messages: Mapping[str, Message]) -> bytes:
    return b"".join(frame(message.SerializeToString()) for message in messages.values())


def _parse_all(payloads: tuple[bytes, ...] | None, kind: type[M]) -> list[M] | None:
    try:
        return None if payloads is None else [kind.FromString(payload) for payload in payloads]
    except DecodeError:
        return None
