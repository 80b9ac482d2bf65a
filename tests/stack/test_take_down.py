from pathlib import Path

from slipway.stack.layout import Layout
from slipway.stack.take_down import delete_state, stop_order, without_heirs
from tests.stack.parts import idle_part


def test_nobody_stops_before_those_who_need_it() -> None:
    parts = (
        idle_part("kafka"),
        idle_part("postgres"),
        idle_part("mlflow", needs=("postgres",)),
        idle_part("gateway", needs=("kafka", "postgres"), is_service=True),
    )
    waves = [[part.name for part in wave] for wave in stop_order(parts)]
    assert waves == [["gateway"], ["kafka", "mlflow"], ["postgres"]]


def test_workers_wait_for_their_clients_only_where_another_stays() -> None:
    first, second = (idle_part(name, worker_of="gateway") for name in ("gateway", "gateway_2"))
    parts = (idle_part("kafka"), first, second)
    alive = {part.name for part in parts}
    assert without_heirs(parts, [first], alive=alive) == frozenset()
    assert without_heirs(parts, [first], alive=alive - {"gateway_2"}) == {"gateway"}
    assert without_heirs(parts, parts, alive=alive) == {"gateway", "gateway_2"}


def test_deleting_state_leaves_only_the_lock(tmp_path: Path) -> None:
    layout = Layout(home=tmp_path, cache=tmp_path / "elsewhere")
    layout.lock.touch()
    layout.data("kafka").mkdir()
    (layout.data("kafka") / "segment.log").touch()
    delete_state(layout)
    assert list(tmp_path.iterdir()) == [layout.lock]
