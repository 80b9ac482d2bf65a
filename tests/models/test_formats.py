"""What a model file is, by its content."""

import json
from pathlib import Path

import pytest

from slipway.errors import InvalidInput
from slipway.models import formats
from slipway.models.formats import ModelFormat, identify
from slipway.models.onnx_check import check_onnx
from tests.models.corpus import honest_onnx, honest_skops, hostile_onnx, pickles, polyglots

NOWHERE = Path("/nonexistent")


def test_accepted_formats_are_told_by_content() -> None:
    assert identify(honest_onnx()) is ModelFormat.ONNX
    assert identify(honest_skops()) is ModelFormat.SKOPS
    assert identify(json.dumps({"learner": {}, "version": [2, 1, 0]}).encode()) is ModelFormat.XGBOOST
    assert identify(b"{L\x00\x00\x00\x00\x00\x00\x00\x07learner{}}") is ModelFormat.XGBOOST
    assert identify(b"tree\nversion=v4\nnum_class=1\n") is ModelFormat.LIGHTGBM


@pytest.mark.parametrize("content", [pytest.param(c, id=n) for n, c in pickles(NOWHERE)])
def test_pickles_are_refused_with_what_to_do_instead(content: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"ONNX|export|Export"):
        identify(content)


@pytest.mark.parametrize("content", [pytest.param(c, id=n) for n, c in polyglots(NOWHERE)])
def test_files_that_are_two_things_are_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput):
        check_onnx(content) if identify(content) is ModelFormat.ONNX else None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"GIF89a, or something else entirely", "none of the accepted formats"),
        (b'{"a": 1}', "not as XGBoost"),
        (b'{"a": ', "begins as JSON"),
        (b"PK\x03\x04 and no archive", "is none"),
        (b"\x02\x00\x00\x00\x00\x00\x00\x00{}", "safetensors"),
        (b"\x00\x00\x00\x00ORTM and more of it", "own format"),
    ],
)
def test_everything_else_is_refused_with_a_clear_word(content: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        identify(content)


def test_a_file_above_the_bound_is_not_even_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "MAX_MODEL_BYTES", 1000)
    with pytest.raises(InvalidInput, match="at most 1000"):
        identify(bytes(1001))


def test_an_archive_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "_MAX_UNPACKED_BYTES", 100)
    with pytest.raises(InvalidInput, match="unpack to"):
        identify(honest_skops())


def test_an_honest_model_passes() -> None:
    check_onnx(honest_onnx())


@pytest.mark.parametrize(("content", "message"), [pytest.param(c, m, id=n) for n, c, m in hostile_onnx()])
def test_graphs_that_are_no_bounded_computation_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        check_onnx(content)
