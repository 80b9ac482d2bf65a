import asyncio

from services.retraining import messages
from services.retraining.app import code_versions
from services.retraining.progress import ProgressBoard, Report
from services.retraining.ray_cluster import last_lines
from services.retraining.specs import SpecBook
from slipway.clock import SystemClock
from slipway.envelope import Event
from slipway.v1 import retraining_pb2 as pb
from slipway.v1.rollout_pb2 import ModelSpec

YAML = 'name: m\ntask: binary\nfeatures: [{name: a}]\nlabel: {name: y, classes: ["0", "1"]}\n'


def applied(revision: int) -> Event:
    return Event(
        topic="model_specs", key="m", event_id="", message=ModelSpec(name="m", revision=revision, yaml=YAML)
    )


async def test_an_older_spec_does_not_replace_a_newer_one() -> None:
    book = SpecBook(SystemClock())
    book.apply(applied(2))
    book.apply(applied(1))
    assert book.find("m").message.revision == 2
    assert [a.spec.name for a in book.all()] == ["m"]


async def test_a_spec_that_travels_a_little_late_is_waited_for() -> None:
    book = SpecBook(SystemClock())
    found = asyncio.ensure_future(book.wait_for("m"))
    await asyncio.sleep(0)
    book.apply(applied(1))
    assert (await found).spec.name == "m"


async def test_watchers_see_every_stage_once() -> None:
    board = ProgressBoard()
    board.watch("r")
    await board.report("m", "r", stage="window:all", message="7 rows")
    await board.report("m", "other", stage="gate")
    assert board.stage("m") == "gate"
    assert [r async for r in board.take("r", timeout_s=0.01)] == [Report("window:all", "7 rows")]
    assert [r async for r in board.take("r", timeout_s=0.01)] == []
    await board.end("m")
    board.unwatch("r")
    assert board.stage("m") == ""


async def test_only_the_newest_requests_are_watched() -> None:
    board = ProgressBoard()
    for number in range(101):
        board.watch(str(number))
    await board.report("m", "0", stage="gate")
    assert [r async for r in board.take("0", timeout_s=0.01)] == []


def test_the_end_of_a_traceback_is_its_reason() -> None:
    text = (
        "Traceback:\n"
        + "  deep\n" * 50
        + '  File "recipe.py", line 2, in fit\n    1 / 0\n\nZeroDivisionError: by zero\n'
    )
    assert last_lines(text).endswith('File "recipe.py", line 2, in fit | 1 / 0 | ZeroDivisionError: by zero')


def test_each_request_has_one_event_id_per_outcome() -> None:
    request = pb.RetrainRequested(request_id="r", model="m", tenant="t", cause=pb.RETRAIN_CAUSE_MANUAL)
    one = messages.decision(messages.insufficient(request, "too few", now_s=1))
    two = messages.decision(messages.insufficient(request, "too few", now_s=2))
    assert (one.state, one.reason) == ("INSUFFICIENT", "too few")
    assert dict(one.event.headers)["ce_id"] == dict(two.event.headers)["ce_id"] == b"r/insufficient"


def test_the_lineage_names_code_and_libraries() -> None:
    code = code_versions()
    assert code.code.startswith("slipway ")
    assert {"numpy", "python", "scikit-learn", "skl2onnx"} <= set(code.libraries)
