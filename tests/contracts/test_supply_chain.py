"""What is installed is what was locked, and what is told about it is true."""

import tomllib
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _script(name: str) -> ModuleType:
    loader = SourceFileLoader(f"script_{name}", str(ROOT / "scripts" / name))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_every_file_that_the_lock_names_has_a_hash() -> None:
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    from_registry = [p for p in packages if "registry" in p["source"]]
    assert len(from_registry) > 200
    assert {p["name"] for p in packages} - {p["name"] for p in from_registry} == {"slipway"}
    files = [
        (p["name"], f) for p in from_registry for f in (*p.get("wheels", ()), *filter(None, [p.get("sdist")]))
    ]
    assert {p["name"] for p in from_registry} == {name for name, _ in files}
    assert [name for name, file in files if not file.get("hash", "").startswith("sha256:")] == []


@pytest.mark.parametrize(
    ("name", "free"),
    [
        ("MIT", True),
        ("Apache-2.0 OR GPL-2.0-only", True),
        ("BSD-3-Clause AND 0BSD", True),
        ("MIT AND BUSL-1.1", False),
        ("Business Source License 1.1", False),
        ("GPLv2", False),
        ("SSPL-1.0", False),
        ("Elastic License 2.0", False),
        ("Proprietary", False),
    ],
)
def test_licenses_that_are_not_free_are_told(name: str, free: bool) -> None:
    assert _script("sbom").is_free(name) is free


def test_an_audit_that_was_not_done_is_not_called_clean() -> None:
    told = _script("audit").told
    assert "NOT DONE" in told({"dependencies": [{"name": "a", "skip_reason": "not found"}]})
    finding = {"id": "CVE-1", "fix_versions": ["2"]}
    report = {
        "dependencies": [{"name": "a", "version": "1", "vulns": [finding]}, {"name": "b", "version": "1"}]
    }
    assert told(report).splitlines() == [
        "audit: 2 packages, 1 known vulnerabilities, 0 not looked up",
        "audit: a 1: CVE-1, fixed in 2",
    ]
