"""Load tests are scripts in folders of their own; here they are imported as their `run` does."""

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

LOAD_TESTS = Path(__file__).resolve().parents[2] / "load-tests"


@contextmanager
def imported(*folders: str, names: Sequence[str]) -> Iterator[dict[str, ModuleType]]:
    """Modules of some folders by name; afterwards nothing of these folders is left imported."""
    paths = [str(LOAD_TESTS / folder) for folder in folders]
    sys.path[:0] = paths
    try:
        yield {name: importlib.import_module(name) for name in names}
    finally:
        for path in paths:
            sys.path.remove(path)
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", "")).startswith(tuple(paths)):
                del sys.modules[name]
