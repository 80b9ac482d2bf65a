import io

from rich.console import Console

from slipway.cli.stack_view import AscentView, status_table
from slipway.stack.part import Part
from slipway.stack.readiness import tcp_open
from slipway.stack.stack_status import PartStatus
from slipway.stack.starting import Phase, Progress


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def text_console() -> Console:
    return Console(file=io.StringIO(), width=120, force_terminal=False)


async def ready() -> bool:
    return await tcp_open(1)


def part(name: str) -> Part:
    return Part(name=name, command=("x",), ports={name: 1}, is_ready=ready)


def test_without_a_terminal_each_part_gets_one_line_when_it_is_ready() -> None:
    console = text_console()
    with AscentView([part("kafka")], console) as view:
        view.report(Progress(part="kafka", phase=Phase.STARTING))
        view.report(Progress(part="kafka", phase=Phase.READY))
    assert shown(console).startswith("kafka            ready after 0.0 s")


def test_a_part_that_ran_already_is_told_apart() -> None:
    console = text_console()
    with AscentView([part("kafka")], console) as view:
        view.report(Progress(part="kafka", phase=Phase.READY, was_running=True))
    assert "ready (was running)" in shown(console)


def test_the_table_has_a_total_of_memory() -> None:
    console = text_console()
    rows = [
        PartStatus(
            name=name, state="ready", pid=1, uptime_s=3_723, memory_bytes=1024**2 * 10, port=1, restarts=0
        )
        for name in ("kafka", "ray")
    ]
    console.print(status_table(rows))
    assert "1:02:03" in shown(console)
    assert "20 MiB" in shown(console)
