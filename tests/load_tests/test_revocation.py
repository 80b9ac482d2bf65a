"""What the load test of revocations makes of its measurements."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.load_tests.folders import imported


@pytest.fixture(scope="module")
def judge() -> Iterator[Any]:
    with imported("revocation", "compare", names=("revocation_judge",)) as modules:
        yield modules["revocation_judge"]


def revocation(judge: Any, gateway_s: float, jobs_s: float) -> Any:
    return judge.Revocation(
        sent_s={judge.GATEWAYS: gateway_s, "jobs": jobs_s},
        returned_s={judge.GATEWAYS: max(0.0, gateway_s - 0.5), "jobs": 0.0},
    )


def test_the_slowest_door_of_the_slowest_revocation_is_judged(judge: Any) -> None:
    good = [revocation(judge, 0.9, 0.2), revocation(judge, 0.4, 1.9)]
    [figure] = judge.figures_of(good)
    assert (figure.measured, figure.is_met) == ("1.90 s, median 1.40 s, 2 times", True)
    assert judge.figures_of([*good, revocation(judge, 2.1, 0.1)])[0].is_met is False
    assert judge.figures_of([])[0].is_met is None


def test_the_page_has_each_door_and_tells_what_an_outage_of_kafka_does(judge: Any) -> None:
    outage = judge.Outage(
        revocations=(revocation(judge, 0.8, 0.0),), unaware=("feedback", "jobs"), back_s={"jobs": 12.0}
    )
    lines = judge.page([revocation(judge, 0.9, 0.2), revocation(judge, 0.4, 1.9)], outage)
    assert "| jobs | 2 | 1.05 s, 1.90 s | 0.00 s, 0.00 s |" in lines
    assert lines[-1].startswith("Meanwhile feedback and jobs went on")
    assert "jobs 12.0 s" in lines[-1]
