import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from slipway.cli import limits
from slipway.cli.control_plane import ControlPlane
from slipway.errors import Unavailable
from slipway.v1.keys_pb2 import KeyInfo, ListKeysResponse
from slipway.v1.limits_pb2 import LimitStanding, ShowLimitsRequest, ShowLimitsResponse
from slipway.v1.rollout_pb2 import ListModelsResponse

RUN = CliRunner()
NAMES = """
prices: {models: {fraud: {per_row: 1}, quite-another: {per_row: 1}}}
limits:
  - {name: a, match: {model: frauds}, concurrency: 2}
  - {name: b, match: {tenant: retial, model: churn}, concurrency: 2}
  - {name: c, match: {tenant: "*", principal: anybody}, concurrency: 2}
  - {name: d, match: {tenant: default}, concurrency: 2}
"""


def answer() -> ShowLimitsResponse:
    standing = LimitStanding(
        name="b",
        kind="budget",
        counts="predictions",
        unit="rows",
        text="5 rows per day",
        principal="shop",
        value=5,
        used=2,
        left=3,
        source="postgresql",
        overshoot_bound=1,
        when_store_is_away="local",
    )
    standing.resets_at.FromDatetime(datetime(2026, 11, 23, tzinfo=UTC))
    cap = LimitStanding(name="c", kind="concurrency", counts="predictions", text="1 at once", value=1, left=1)
    return ShowLimitsResponse(
        file_digest="d", file_problem="line 3", store_is_away=True, gateways=2, limits=[standing, cap]
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    seen: list[Any] = []

    class Stub:
        async def ShowLimits(self, request: ShowLimitsRequest, **_: Any) -> ShowLimitsResponse:
            seen.append(request)
            return answer()

    async def call(_plane: ControlPlane, service: str, _stub: Any, method: Any) -> Any:
        assert service == "gateway_admin"
        return await method(Stub(), {})

    monkeypatch.setattr(ControlPlane, "call", call)
    return seen


def test_shows_each_limit_and_what_is_wrong(asked: list[Any]) -> None:
    shown = RUN.invoke(limits.app, ["show", "--principal", "shop"], env={"COLUMNS": "200"})
    assert asked == [ShowLimitsRequest(principal="shop")]
    for text in ("principal shop", "5 rows per day", "2026-11-23T00:00:00Z", "(all)", "line 3", "is away"):
        assert text in shown.output


def test_shows_json_for_programs(asked: list[Any]) -> None:
    shown = json.loads(RUN.invoke(limits.app, ["show", "--json"]).output)
    assert len(asked) == 1
    assert shown["gateways"] == 2
    assert [(limit["bucket"], limit["left"], limit["resets_at"]) for limit in shown["limits"]] == [
        ({"principal": "shop"}, 3, "2026-11-23T00:00:00Z"),
        ({}, 1, None),
    ]


def test_names_that_nobody_has_are_told_with_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stub:
        async def ListModels(self, _request: Any, **_: Any) -> ListModelsResponse:
            return ListModelsResponse(models=["fraud", "churn"])

        async def ListKeys(self, _request: Any, **_: Any) -> ListKeysResponse:
            return ListKeysResponse(keys=[KeyInfo(tenant="retail")])

    async def call(_plane: ControlPlane, _service: str, _stub: Any, method: Any, **_: Any) -> Any:
        return await method(Stub(), {})

    monkeypatch.setattr(ControlPlane, "call", call)
    file = tmp_path / "limits.yaml"
    file.write_text(NAMES)
    checked = RUN.invoke(limits.app, ["check", str(file)])
    assert checked.exit_code == 0
    assert json.loads(RUN.invoke(limits.app, ["check", str(file), "--json"]).stdout)["warnings"] == [
        "limit 'a': no model is called 'frauds'; is it 'fraud'?",
        "limit 'b': no tenant is called 'retial'; is it 'retail'?",
        "prices: no model is called 'quite-another'",
    ]
    assert "is it 'fraud'?" in checked.stderr


def test_checks_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise Unavailable("rollout: nobody answers")

    monkeypatch.setattr(ControlPlane, "call", away)
    file = tmp_path / "limits.yaml"
    file.write_text("limits: [{name: a, concurrency: 2}]")
    told = RUN.invoke(limits.app, ["check", str(file)])
    assert "1 limits" in told.stdout
    assert "were not compared: rollout: nobody answers" in told.stderr
    checked = json.loads(RUN.invoke(limits.app, ["check", str(file), "--json"]).output)
    assert checked["limits"][0]["concurrency"] == 2
    file.write_text("limits: [{nam: a}]")
    assert "line 1: limits.0.nam" in str(RUN.invoke(limits.app, ["check", str(file)]).exception)
    assert "cannot read" in str(RUN.invoke(limits.app, ["check", str(tmp_path / "none")]).exception)
