"""Conversion in this very process: what is refused here needs no sandbox to be harmless."""

from pathlib import Path

import pytest

from slipway.errors import InvalidInput
from slipway.models.conversion import convert
from slipway.models.formats import ModelFormat, identify
from tests.models.corpus import SPEC, forbidden_skops, honest_skops


def _convert(folder: Path, content: bytes) -> None:
    (folder / "model").write_bytes(content)
    convert(folder, {"spec_yaml": SPEC, "format": str(identify(content))})


def test_a_scikit_learn_model_becomes_onnx(tmp_path: Path) -> None:
    _convert(tmp_path, honest_skops())
    assert identify((tmp_path / "model.onnx").read_bytes()) is ModelFormat.ONNX


def test_no_type_beyond_the_list_is_loaded(tmp_path: Path) -> None:
    canary, accepted = tmp_path / "canary", []
    for name, content in forbidden_skops(canary):
        try:
            _convert(tmp_path, content)
        except (InvalidInput, KeyError, TypeError):
            continue
        accepted.append(name)
    assert (accepted, canary.exists()) == ([], False)
    assert not (tmp_path / "model.onnx").exists()


def test_a_booster_without_its_library_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"tree\nversion=v4\n")
    with pytest.raises(InvalidInput, match="needs lightgbm"):
        convert(tmp_path, {"spec_yaml": SPEC, "format": "LightGBM"})
