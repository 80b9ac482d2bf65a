"""What must hold before a part starts: its programs are installed and its ports are free."""

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType

from slipway.errors import Conflict, NotFound
from slipway.ports import OVERRIDE_PREFIX
from slipway.stack.part import Part
from slipway.stack.processes import describe, holders

HolderLookup = Callable[[Collection[int]], Mapping[int, frozenset[int | None]]]


def check_requirements(parts: Iterable[Part]) -> None:
    """Every program and file that the parts need is there.

    Raises:
        NotFound: Names each missing file, the part that wants it and the package that brings it.
    """
    missing = [
        f"{part.name} needs {requirement.path} (package {requirement.package})"
        for part in parts
        for requirement in part.requirements
        if not requirement.path.exists()
    ]
    if missing:
        raise NotFound("; ".join(missing) + ". `./scripts/setup` installs what is missing")


def check_ports(
    parts: Iterable[Part],
    *,
    at_home: Mapping[int, Collection[int]] = MappingProxyType({}),
    find_holders: HolderLookup = holders,
    name_process: Callable[[int | None], str] = describe,
) -> None:
    """No port of the parts is in use, except by those who share it.

    Args:
        parts: Parts that are to start, and those whose ports somebody might have joined.
        at_home: Processes that rightly listen on a port already.
        find_holders: Who listens where.
        name_process: How a process is told to people.
    Raises:
        Conflict: Names each taken port, the part that wants it and the process that holds it.
    """
    wanted = {port: (part.name, name) for part in parts for name, port in part.ports.items()}
    taken = [
        f"{part} wants port {port} ({name}), held by {name_process(holder)}; "
        f"end it or choose another with {OVERRIDE_PREFIX}{name.upper()}"
        for port, found in sorted(find_holders(frozenset(wanted)).items())
        for part, name in [wanted[port]]
        for holder in sorted(found - frozenset(at_home.get(port, ())), key=str)
    ]
    if taken:
        raise Conflict("\n".join(taken))
