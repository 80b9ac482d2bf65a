from dataclasses import replace

from services.drift_detection.domain.alarms import Alarm, Cleared, Raised, end_all, settle
from services.drift_detection.domain.verdicts import Signal, Verdict


def verdict(statistic: float, signal: Signal = Signal.DATA, subject: str = "a") -> Verdict:
    return Verdict(
        signal=signal,
        subject=subject,
        statistic_name="x",
        statistic=statistic,
        threshold=1.0,
        clear_below=0.7,
        is_raised=statistic >= 1.0,
        rows=10,
        start_s=1.0,
        end_s=2.0,
        evidence="",
    )


def run(statistics: list[float]) -> list[str]:
    active: tuple[Alarm, ...] = ()
    said = []
    for look, statistic in enumerate(statistics):
        active, changes = settle(active, [verdict(statistic)], id_prefix="3@7", look=look)
        said += [f"{look}{'+' if isinstance(c, Raised) else '-'}" for c in changes]
    return said


def test_an_alarm_is_raised_once_and_ends_below_the_lower_level() -> None:
    assert run([0.5, 1.1, 0.9, 1.2, 0.71, 0.6, 0.9, 1.0]) == ["1+", "5-", "7+"]


def test_the_identifier_is_a_function_of_the_data() -> None:
    [alarm], _ = settle((), [verdict(2.0)], id_prefix="3@7", look=4)
    assert alarm.alarm_id == "3@7/DATA/a/4"
    [alarm], _ = settle((), [verdict(2.0, Signal.CONCEPT, "")], id_prefix="3@7", look=4)
    assert alarm.alarm_id == "3@7/CONCEPT/-/4"


def test_a_further_change_of_the_concept_is_an_alarm_of_its_own() -> None:
    first, _ = settle((), [verdict(2.0, Signal.CONCEPT, "")], id_prefix="p", look=1)
    second, changes = settle(first, [verdict(2.0, Signal.CONCEPT, "")], id_prefix="p", look=9)
    assert [type(c) for c in changes] == [Cleared, Raised]
    assert [a.alarm_id for a in second] == ["p/CONCEPT/-/9"]


def test_alarms_without_a_verdict_stay() -> None:
    active, _ = settle((), [verdict(2.0), verdict(2.0, subject="b")], id_prefix="p", look=1)
    still, changes = settle(active, [replace(verdict(0.1), subject="b")], id_prefix="p", look=2)
    assert [a.subject for a in still] == ["a"]
    assert [c.alarm.subject for c in changes] == ["b"]
    assert [c.alarm for c in end_all(still, "over")] == list(still)
