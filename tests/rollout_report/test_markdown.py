from slipway.rollout_report.markdown import page
from tests.rollout_report.reports import promoted, taken_back


def test_the_page_says_who_what_why_from_which_spec_and_how_long() -> None:
    text = page(promoted(), picture="curves.png")
    for part in (
        "# m: version 7, promoted",
        "| started by | anna |",
        r"| why | a \| b |",
        "| champion when it began | 6 |",
        "| ended as | DONE: reason 6 |",
        "| spec revision | 4 |",
        "| took | 50 min |",
        "![evidence, samples and weight over time](curves.png)",
        "metric: accuracy, paired: true",
    ):
        assert part in text, part


def test_each_step_has_its_evidence_its_notes_and_why_it_was_left() -> None:
    text = page(promoted(), picture="c.png")
    step = text.split("### Step 2: canary, 10 %", 1)[1].split("###", 1)[0]
    assert "From 2023-11-14 22:43:20 UTC, 20 min. Entered: reason 3" in step
    assert "Left: reason 5" in step
    assert "- approve by bob: reason 4" in step
    assert "| errors | clear | 120 of 100 | █░░░░░░░░░ 1.3 of 40.45 | - | takes back |" in step


def test_what_was_proven_stands_apart_from_what_was_not() -> None:
    text = page(taken_back(), picture="c.png")
    proven, _, rest = text.split("## What was proven", 1)[1].partition("## What was not")
    assert "harm: errors" in proven
    assert "Quality was not proven by anybody" in rest


def test_the_log_is_there_as_it_is() -> None:
    text = page(taken_back(), picture="c.png")
    assert (
        "| 2023-11-14T22:43:20Z | ABORTED | guard_failed | 0 % | rollout | 12 failures: e-value 41 of 40 |"
        in text
    )


def test_what_is_under_way_stands_somewhere_and_has_not_ended() -> None:
    report = taken_back()
    del report.events[2:]
    report.state = "CANARY"
    report.rivals.append("9")
    text = page(report, picture="c.png")
    assert "# m: version 8 with rivals 9, under way" in text
    assert "| stands at | CANARY: reason 2 |" in text
    assert "| took | not ended |" in text
