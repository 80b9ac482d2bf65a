"""A model file is tried in a process that may fall: no network, no secrets, little memory, little time."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from slipway.errors import InvalidInput, Unavailable
from slipway.sandbox.child import ANSWER, REQUEST
from slipway.sandbox.confinement import Limits

_MODEL: Final = "model"
_ROOT: Final = Path(__file__).resolve().parents[2]
_MAX_ANSWER_BYTES: Final = 64 * 1024
_MAX_REASON_CHARS: Final = 500
# Nothing of the parent's environment: it names secrets, databases and targets.
_ENVIRONMENT: Final = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "PYTHONPATH": str(_ROOT),
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "MPLCONFIGDIR": "/nonexistent",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a trial gave.

    Attributes:
        walls: What kept the network away: `namespace+seccomp`, or one of them.
        onnx: The converted model; empty where nothing was converted.
        answer: What else the task said.
    """

    walls: str
    onnx: bytes
    answer: Mapping[str, Any]


def try_model(onnx: bytes, spec_yaml: str, *, limits: Limits = Limits()) -> Trial:  # noqa: B008 - frozen
    """Check, load and ask an ONNX model in a process of its own. Blocks: call it from a thread.

    Raises:
        InvalidInput: It is refused, crashes, or needs more than the limits give.
        Unavailable: No such process can be started now.
    """
    return run("try", onnx, arguments={"spec_yaml": spec_yaml}, limits=limits)


def run(task: str, content: bytes, *, arguments: Mapping[str, Any], limits: Limits) -> Trial:
    """Let a child do one of `child.TASKS` on a file. Blocks: call it from a thread.

    Raises:
        InvalidInput: The task refused it, crashed, or needed more than the limits give.
        Unavailable: No such process can be started now.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="slipway-trial-") as name:
            folder = Path(name)
            (folder / _MODEL).write_bytes(content)
            request = {"task": task, "arguments": dict(arguments), "limits": asdict(limits)}
            (folder / REQUEST).write_bytes(orjson.dumps(request))
            status = _wait(_start(folder), limits)
            return _read(folder, status, limits=limits)
    except OSError as error:
        raise Unavailable(f"cannot try a model in a process of its own: {error}") from error


def _start(folder: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-P", "-s", "-m", "slipway.sandbox.child"],
        cwd=folder,
        env={**_ENVIRONMENT, "TMPDIR": str(folder), "HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        close_fds=True,
    )


def _wait(process: "subprocess.Popen[bytes]", limits: Limits) -> int | None:
    """The exit status; none if it had to be ended."""
    try:
        return process.wait(timeout=limits.deadline_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            # The whole group: what it may have started goes with it.
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _read(folder: Path, status: int | None, *, limits: Limits) -> Trial:
    if status is None:
        raise InvalidInput(f"the model was tried for {limits.deadline_s:g} s and did not come to an end")
    if status < 0:
        raise InvalidInput(f"the model was tried and ended its process: {_fate(-status, limits)}")
    answer = _answer(folder / ANSWER)
    if answer is None:
        raise InvalidInput(
            f"the model was tried and its process ended with status {status}, saying nothing "
            f"(a limit of {limits.memory_bytes} bytes of memory?)"
        )
    if "error" in answer:
        raise InvalidInput(_plain(answer["error"]))
    made = folder / "model.onnx"
    return Trial(
        walls=_plain(answer.get("walls", "")),
        onnx=made.read_bytes() if made.is_file() and not made.is_symlink() else b"",
        answer=answer,
    )


def _answer(path: Path) -> dict[str, Any] | None:
    """What the child wrote, believed no more than the model itself."""
    if not path.is_file() or path.is_symlink() or path.stat().st_size > _MAX_ANSWER_BYTES:
        return None
    try:
        answer = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError:
        return None
    return answer if isinstance(answer, dict) else None


def _fate(number: int, limits: Limits) -> str:
    if number == signal.SIGXCPU:
        return f"more than {limits.cpu_s} s of computing"
    if number == signal.SIGXFSZ:
        return f"it wrote more than {limits.file_bytes} bytes"
    try:
        return f"signal {signal.Signals(number).name}"
    except ValueError:
        return f"signal {number}"


def _plain(text: Any) -> str:
    return "".join(c if c.isprintable() else " " for c in str(text))[:_MAX_REASON_CHARS]
