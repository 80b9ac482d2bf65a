import json
from pathlib import Path

import pytest
from matplotlib import image

from slipway.errors import InvalidInput
from slipway.rollout_report.files import write
from slipway.v1.rollout_pb2 import RolloutReport
from tests.rollout_report.reports import promoted, taken_back


def test_the_three_files_are_beside_each_other(tmp_path: Path) -> None:
    page, document, picture = write(promoted(), tmp_path / "new" / "folder")
    assert picture.name in page.read_text()
    told = json.loads(document.read_text())
    assert (told["outcome"], told["spec_revision"], told["started_by"]) == ("promoted", 4, "anna")
    assert told["events"][0]["evidence"]["quality"].startswith("the gate has judged")
    assert told["points"][1]["findings"][0]["e_proof"] == pytest.approx(29.96, abs=0.01)
    assert [leg["state"] for leg in told["legs"]] == ["WARMING", "SHADOW", "CANARY", "BAKE"]


@pytest.mark.parametrize("report", [promoted(), taken_back(), RolloutReport(model="m")])
def test_the_picture_is_drawn_even_of_nothing(tmp_path: Path, report: RolloutReport) -> None:
    picture = image.imread(write(report, tmp_path)[2])
    assert picture.shape[0] > 1000
    # Something else than the white of the paper is on it.
    assert picture[..., :3].std() > 0.01


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="name another with -o"):
        write(promoted(), tmp_path / "file" / "below")
