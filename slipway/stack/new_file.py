"""Files that appear whole or not at all, and that two commands at once cannot make twice."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def write_once(path: Path, make: Callable[[], bytes]) -> bool:
    """Write a file, readable by the owner alone, unless there is one; whether it was written."""
    if path.exists():
        return False
    draft = _draft(path, make(), mode=0o600)
    try:
        os.link(draft, path)  # fails where a rename would overwrite
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def replace_file(path: Path, content: bytes, *, mode: int) -> None:
    """Put a new file in the place of an old one; a file that says the same already stays."""
    if path.is_file() and path.read_bytes() == content:
        return
    _draft(path, content, mode=mode).replace(path)


def _draft(path: Path, content: bytes, *, mode: int) -> Path:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    os.chmod(name, mode)
    return Path(name)
