"""The first lines of a report: where and with what it was made."""

import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Final

from drivers import CONNECTIONS, GHZ, HEY, VEGETA
from machine import about, commit, today
from rounds import Pace
from sites import PEERS

_NAMED: Final = {"ray_serve": "ray", "mlserver": "mlserver", "bentoml": "bentoml", "raw_grpc": "grpcio"}


def head(pace: Pace, *, others: Sequence[float]) -> Iterator[str]:
    """The first lines of a report."""
    yield f"# The gateway beside its peers, {today()}, commit {commit()}"
    yield ""
    yield from about(others)
    yield (
        f"- Slipway: Python {platform.python_version()}, grpcio {version('grpcio')}, "
        f"ray {version('ray')}, onnxruntime {version('onnxruntime')}"
    )
    yield "- peers: " + ", ".join(_peers())
    yield (
        f"- load: {GHZ[0]} {GHZ[2]} over {CONNECTIONS} connections (1 at 1 in flight), "
        f"{HEY[0]} {HEY[2]} for HTTP (a connection a caller), {VEGETA[0]} {VEGETA[2]} for its open loop, "
        "all on the same machine"
    )
    yield (
        f"- rounds: {pace.rounds}, in another order each, {pace.seconds:g} s a load after a warm-up of "
        f"{pace.warm_up_s:g} s; the figures are medians over the rounds"
    )
    yield (
        "- model: 100 trees, 30 features, one row a request, ONNX Runtime with one thread; Slipway with key "
        "check, validation and standard records, cache off"
    )


def _peers() -> Iterator[str]:
    for folder, package in _NAMED.items():
        lines = (PEERS / folder / "requirements.txt").read_text().splitlines()
        pins = dict(line.split("==") for line in lines if "==" in line)
        found = next(name for name in pins if name.split("[")[0] == package)
        extra = f" (uvloop {pins['uvloop']})" if "uvloop" in pins else ""
        yield f"{package} {pins[found]}{extra}"
