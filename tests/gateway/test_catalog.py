from pathlib import Path

import pytest

from services.gateway.catalog import ROUTES_SNAPSHOT, SPECS_SNAPSHOT, Catalog
from slipway.errors import InvalidInput, NotFound
from slipway.snapshots import write_atomically
from slipway.v1.rollout_pb2 import Arm, ModelSpec, RouteTable

YAML = "name: m\ntask: regression\nfeatures: [{name: x}]\nlabel: {name: y}\n"


def spec(revision: int = 1, yaml: str = YAML, tenant: str = "") -> ModelSpec:
    return ModelSpec(name="m", tenant=tenant, revision=revision, yaml=yaml)


def table(epoch: int, version: str = "1") -> RouteTable:
    return RouteTable(model="m", epoch=epoch, salt="s", arms=[Arm(version=version, weight_ppm=1_000_000)])


def filled() -> Catalog:
    catalog = Catalog()
    catalog.apply_spec(spec())
    catalog.apply_route(table(5, "five"))
    return catalog


def version(catalog: Catalog) -> str:
    return catalog.models["m"].route.arms[0].version


def test_only_newer_epochs_are_applied() -> None:
    catalog = filled()
    catalog.apply_route(table(4, "four"))
    catalog.apply_route(table(5, "other five"))
    assert version(catalog) == "five"
    catalog.apply_route(table(6, "six"))
    assert version(catalog) == "six"


def test_an_older_spec_is_passed_over() -> None:
    catalog = filled()
    catalog.apply_spec(spec(3, YAML + "serving: {max_batch_rows: 3}\n"))
    catalog.apply_spec(spec(2))
    assert catalog.models["m"].contract.max_batch_rows == 3


def test_a_spec_that_cannot_be_read_leaves_the_last_good_one() -> None:
    catalog = filled()
    with pytest.raises(InvalidInput):
        catalog.apply_spec(spec(2, "name: m"))
    assert version(catalog) == "five"


def test_a_model_needs_a_spec_and_may_wait_for_its_route() -> None:
    catalog = Catalog()
    catalog.apply_route(table(1))
    assert not catalog.models
    catalog.apply_spec(spec())
    assert version(catalog) == "1"
    waiting = Catalog()
    waiting.apply_spec(spec())
    assert waiting.models["m"].route.arms == ()


def test_another_tenants_model_is_not_known() -> None:
    catalog = Catalog()
    catalog.apply_spec(spec(tenant="energy"))
    assert catalog.find("m", tenant="energy").name == "m"
    for name, tenant in (("m", "default"), ("n", "energy")):
        with pytest.raises(NotFound, match=f"'{name}' is not known"):
            catalog.find(name, tenant=tenant)
    assert filled().find("m", tenant="default").name == "m"


def test_nothing_is_kept_before_it_is_known() -> None:
    assert filled().dump_specs() is None
    assert filled().dump_routes() is None


def kept(folder: Path) -> None:
    catalog = filled()
    catalog.is_caught_up = True
    for name, dump in ((SPECS_SNAPSHOT, catalog.dump_specs()), (ROUTES_SNAPSHOT, catalog.dump_routes())):
        assert dump is not None
        write_atomically(folder / name, dump)


def test_starts_from_what_was_kept(tmp_path: Path) -> None:
    kept(tmp_path)
    catalog = Catalog()
    catalog.restore(tmp_path)
    assert catalog.is_known
    assert version(catalog) == "five"
    catalog.apply_route(table(5, "again"))
    assert version(catalog) == "five"


def test_a_missing_or_damaged_file_means_not_known(tmp_path: Path) -> None:
    catalog = Catalog()
    catalog.restore(tmp_path)
    assert not catalog.is_known
    kept(tmp_path)
    path = tmp_path / ROUTES_SNAPSHOT
    path.write_bytes(path.read_bytes()[:-1])
    catalog.restore(tmp_path)
    assert not catalog.is_known
    assert not catalog.models


def test_the_arm_in_shadow_keeps_its_limits() -> None:
    catalog = filled()
    shadow = Arm(version="2", role="shadow", mirror_ppm=300_000, max_mirrored_per_s=12.5)
    catalog.apply_route(RouteTable(model="m", epoch=6, salt="s", arms=[shadow]))
    found = catalog.models["m"].route.shadow
    assert found is not None
    assert (found.version, found.mirror_ppm, found.max_mirrored_per_s) == ("2", 300_000, 12.5)
