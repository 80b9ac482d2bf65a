"""Parts that run nothing, for tests of the code around them."""

from collections.abc import Mapping

from slipway.stack.part import Part, Requirement


async def never_ready() -> bool:
    return False


def idle_part(
    name: str,
    *,
    ports: Mapping[str, int] | None = None,
    needs: tuple[str, ...] = (),
    requirements: tuple[Requirement, ...] = (),
    is_service: bool = False,
    worker_of: str = "",
    on_demand: bool = False,
) -> Part:
    return Part(
        name=name,
        command=("/bin/true", "100%"),
        ports=ports or {name: 19999},
        is_ready=never_ready,
        environment={"DSN": "postgresql://a:b@127.0.0.1/x%20y"},
        needs=needs,
        requirements=requirements,
        is_service=is_service,
        worker_of=worker_of,
        on_demand=on_demand,
    )
