import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from services.gateway.domain.contract import Contract, contract_of
from services.gateway.suspects import SNAPSHOT, Suspects
from slipway.envelope import Event
from slipway.errors import Denied
from slipway.identity.caller import Caller
from slipway.snapshots import Snapshot
from slipway.spec import parse
from slipway.topics import EXTRACTION_ALARMS
from slipway.v1.extraction_pb2 import ExtractionCleared, ExtractionSuspected

THIEF = Caller(principal="thief", tenant="default", roles=(), method="api_key")
OTHERS = (replace(THIEF, principal="app"), replace(THIEF, tenant="other"))


def contract(action: str, model: str = "m") -> Contract:
    return contract_of(
        parse(
            f'name: {model}\ntask: binary\nfeatures: [{{name: a}}]\nlabel: {{name: y, classes: ["0", "1"]}}\n'
            f"defence: {{extraction: {{action: {action}}}}}\n"
        )
    )


def said(message: ExtractionSuspected | ExtractionCleared) -> Event:
    return Event(topic=EXTRACTION_ALARMS.name, key="", message=message, event_id="")


def suspected() -> ExtractionSuspected:
    return ExtractionSuspected(alarm_id="x", tenant="default", principal="thief", model="m")


@pytest.fixture
def suspects() -> Suspects:
    it = Suspects()
    it.apply(said(suspected()))
    return it


def test_what_the_spec_wants_is_done_about_this_caller_of_this_model(suspects: Suspects) -> None:
    assert suspects.meet(THIEF, contract("flag")) == "flag"
    assert suspects.meet(THIEF, contract("review")) == "review"
    assert suspects.meet(THIEF, contract("none")) == ""
    with pytest.raises(Denied, match="alarm x"):
        suspects.meet(THIEF, contract("refuse"))


def test_nobody_else_is_touched(suspects: Suspects) -> None:
    assert [suspects.meet(caller, contract("refuse")) for caller in OTHERS] == ["", ""]
    assert suspects.meet(THIEF, contract("refuse", model="another")) == ""


def test_a_cleared_caller_is_as_good_as_new(suspects: Suspects) -> None:
    suspects.apply(said(ExtractionCleared(alarm_id="x", tenant="default", principal="thief", model="m")))
    assert suspects.meet(THIEF, contract("refuse")) == ""


def test_nothing_is_known_before_the_topic_or_a_snapshot_was_read(suspects: Suspects) -> None:
    assert (suspects.is_known, suspects.dump()) == (False, None)
    suspects.caught_up.set()
    assert suspects.is_known


@pytest.mark.parametrize("are_there", [True, False])
async def test_alarms_outlive_a_restart_without_kafka(tmp_path: Path, *, are_there: bool) -> None:
    before, stop = Suspects(), asyncio.Event()
    if are_there:
        before.apply(said(suspected()))
    before.caught_up.set()
    keeping = Snapshot(path=tmp_path / SNAPSHOT, changes=before.changes, dump=before.dump)
    stop.set()
    await keeping.keep(stop)
    after = Suspects()
    after.restore(tmp_path)
    assert after.is_known
    assert after.meet(THIEF, contract("flag")) == ("flag" if are_there else "")


def test_a_damaged_snapshot_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / SNAPSHOT).write_bytes(b"no frames")
    it = Suspects()
    it.restore(tmp_path)
    assert not it.is_known
