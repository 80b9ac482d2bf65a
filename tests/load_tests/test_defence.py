"""The input defence's load test in small: its detectors and its gradient.

The long run with its figures is load-tests/defence/run.
"""

from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest

from tests.load_tests.folders import imported

NAMES = ("defence_data", "defence_models", "defence_detectors", "defence_report")


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, ModuleType]]:
    with imported("defence", "compare", names=NAMES) as found:
        yield found


def test_the_written_gradient_is_that_of_the_served_model(modules: dict[str, ModuleType]) -> None:
    data = modules["defence_data"].breast_cancer()
    served = modules["defence_models"].fit(data, "mlp")
    unit, labels = served.to_unit(data.test[:5]), served.predict(data.test[:5])

    def loss(at: np.ndarray) -> np.ndarray:
        shares = served.probabilities(served.from_unit(at))
        return np.asarray(-np.log(shares[np.arange(5), labels]))

    feature, step = 7, 1e-2
    ahead, behind = unit.copy(), unit.copy()
    ahead[:, feature] += step
    behind[:, feature] -= step
    slope = (loss(ahead) - loss(behind)) / (2 * step)
    assert served.loss_gradient(unit, labels)[:, feature] == pytest.approx(slope, rel=0.2, abs=1e-3)


def test_rows_of_other_data_are_told_from_held_out_ones(modules: dict[str, ModuleType]) -> None:
    data = modules["defence_data"].breast_cancer()
    known = modules["defence_detectors"].of(data, modules["defence_models"].fit(data, "mlp"))
    seen = modules["defence_detectors"].judge(known["input score"], data.test, data.other[:40])
    assert seen.low <= seen.auroc <= seen.high
    assert seen.auroc > 0.9
