from services.rollout.domain.log_entry import LogEntry
from services.rollout.domain.state_machine import Trigger
from services.rollout.report_data import report_of
from services.rollout.rows import SpecRow
from tests.rollout.rollouts import NAMES, History, contest_at


def _row(revision: int) -> SpecRow:
    return SpecRow(
        model="m",
        revision=revision,
        tenant="default",
        yaml=f"# {revision}",
        recipe="",
        recipe_digest="",
        digest="",
        applied_by="anna",
        applied_at_s=0.0,
    )


def _entries(history: History) -> list[tuple[LogEntry, str]]:
    latest = history.position.rollout_id
    return [(entry, "1") for entry in history.entries if entry.rollout_id == latest]


def test_a_report_names_the_rivals_that_the_rollout_began_with_also_when_it_is_over() -> None:
    history = contest_at(20, rivals=(3, 4))
    history.add(Trigger.STEPS_PASSED, version=4, rivals=(), weight_ppm=1_000_000)
    history.add(Trigger.BAKED, weight_ppm=1_000_000)
    report = report_of(_entries(history), [], followed=_row(2))
    assert (report.version, list(report.rivals), report.champion_version) == (
        NAMES[2].version,
        ["3", "4"],
        "1",
    )
    assert (report.state, report.events[-1].version) == ("DONE", "4")


def test_a_report_shows_the_spec_that_the_rollout_followed() -> None:
    report = report_of(_entries(contest_at(20)), [], followed=_row(7))
    assert (report.spec_revision, report.yaml) == (7, "# 7")
