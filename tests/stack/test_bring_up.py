from pathlib import Path

import pytest

from slipway.errors import NotFound
from slipway.stack.bring_up import choose_parts
from slipway.stack.layout import Layout
from slipway.stack.stack import Stack
from slipway.stack.starting import PartFailed
from tests.stack.parts import idle_part


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    parts = (
        idle_part("kafka"),
        idle_part("postgres"),
        idle_part("mlflow", needs=("postgres",)),
        idle_part("rollout", needs=("kafka", "mlflow"), is_service=True),
        idle_part("standby", needs=("kafka",), on_demand=True),
    )
    return Stack(layout=Layout(home=tmp_path, cache=tmp_path), parts=parts)


def test_naming_none_chooses_all_but_those_on_demand(stack: Stack) -> None:
    assert choose_parts(stack, []) == stack.parts[:-1]
    assert [part.name for part in choose_parts(stack, ["standby"])] == ["kafka", "standby"]


def test_a_named_part_brings_all_it_needs(stack: Stack) -> None:
    assert [part.name for part in choose_parts(stack, ["mlflow"])] == ["postgres", "mlflow"]
    assert len(choose_parts(stack, ["rollout"])) == 4


def test_an_unknown_part_is_named_with_the_known_ones(stack: Stack) -> None:
    with pytest.raises(NotFound, match="'redis'; there are: kafka, postgres, mlflow, rollout, standby"):
        choose_parts(stack, ["redis"])


def test_a_failure_carries_the_end_of_the_log() -> None:
    error = PartFailed("gateway", "died while starting", log_tail=["one", "two"])
    assert str(error) == "gateway died while starting; the end of its log:\n    one\n    two"


def test_a_failure_without_log_says_so() -> None:
    assert str(PartFailed("gateway", "died", log_tail=[])) == "gateway died; its log is empty"
