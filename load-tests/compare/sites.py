"""What has to run for each contestant, and how it is started, by name of the site."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
import requests
from drivers import Target
from forest import MODEL, Forest
from servers import Server, free_port, install, running

from slipway.oip import open_inference_pb2 as pb
from slipway.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub

ROOT: Final = Path(__file__).resolve().parents[2]
PEERS: Final = Path(__file__).parent / "peers"
LOOPBACK: Final = "127.0.0.1"
HEADER_LENGTH: Final = "inference-header-content-length"
_ASK_S: Final = 5.0
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
# 0 keeps Ray on loopback, despite the variable's name.
_RAY: Final = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
_RAY_TUNED: Final = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """Where a run keeps what it needs.

    Attributes:
        folder: Logs and settings of the servers; short, because Ray puts sockets below it.
        home: Of the Slipway stack.
        port_offset: Of its ports.
    """

    forest: Forest
    cache: Path
    folder: Path
    home: Path
    port_offset: int


Site = Callable[[Workshop], AbstractContextManager[Mapping[str, Target]]]


@contextmanager
def raw_grpc(workshop: Workshop) -> Iterator[Mapping[str, Target]]:
    """A server of forty lines."""
    folder, port = workshop.folder / "raw_grpc", free_port()
    python = _programs("raw_grpc", workshop) / "python"
    script = PEERS / "raw_grpc" / "raw_server.py"
    words = [str(python), str(script), str(port), str(workshop.forest.onnx)]
    with running(words, environment=_ONE_THREAD | {"PYTHONPATH": str(ROOT)}, folder=folder) as server:
        yield {"raw_grpc": _grpc_target(port, workshop.forest, server=server)}


def ray_serve(name: str, flags: Mapping[str, str]) -> Site:
    """Ray Serve in a cluster of its own."""

    @contextmanager
    def site(workshop: Workshop) -> Iterator[Mapping[str, Target]]:
        folder, port = workshop.folder / name, free_port()
        python = _programs("ray_serve", workshop) / "python"
        script = PEERS / "ray_serve" / "ray_app.py"
        words = [str(python), str(script), str(port), str(free_port()), str(workshop.forest.onnx)]
        environment = {**_ONE_THREAD, **_RAY, **flags, "PYTHONPATH": str(ROOT)}
        with running([*words, str(folder / "ray")], environment=environment, folder=folder) as server:
            yield {name: _grpc_target(port, workshop.forest, server=server)}

    return site


def mlserver(name: str, workers: int) -> Site:
    """MLServer with its model beside the server (0 workers) or in worker processes."""

    @contextmanager
    def site(workshop: Workshop) -> Iterator[Mapping[str, Target]]:
        folder, port, http_port = workshop.folder / name, free_port(), free_port()
        write_mlserver(folder, workshop.forest, port=port, workers=workers, http_port=http_port)
        environment = _ONE_THREAD | {"PYTHONPATH": str(PEERS / "mlserver")}
        words = [str(_programs("mlserver", workshop) / "mlserver"), "start", str(folder)]
        with running(words, environment=environment, folder=folder) as server:
            found = {name: _grpc_target(port, workshop.forest, server=server)}
            if not workers:
                found["mlserver_rest"] = _rest_target(http_port, workshop.forest, server=server)
            yield found

    return site


def write_mlserver(
    folder: Path, forest: Forest, *, port: int, workers: int, http_port: int | None = None
) -> None:
    """MLServer's two settings files; quiet, on loopback, all else as it comes."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "host": LOOPBACK,
        "grpc_port": port,
        "http_port": http_port or free_port(),
        "metrics_port": free_port(),
        "metrics_dir": str(folder),
        "parallel_workers": workers,
        "debug": False,
    }
    model = {
        "name": MODEL,
        "implementation": "mlserver_forest.Forest",
        "parameters": {"uri": str(forest.onnx)},
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))


@contextmanager
def bentoml(workshop: Workshop) -> Iterator[Mapping[str, Target]]:
    """BentoML with one worker process."""
    folder, port = workshop.folder / "bentoml", free_port()
    program = _programs("bentoml", workshop) / "bentoml"
    words = [str(program), "serve", "bento_forest:Forest", "--host", LOOPBACK, "--port", str(port)]
    environment = _ONE_THREAD | {
        "PYTHONPATH": str(PEERS / "bentoml"),
        "COMPARE_MODEL": str(workshop.forest.onnx),
        "BENTOML_HOME": str(folder / "home"),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    words += ["--working-dir", str(PEERS / "bentoml")]
    with running(words, environment=environment, folder=folder) as server:
        url, body = f"http://{LOOPBACK}:{port}/infer", workshop.forest.json_body
        target = Target(address=url, body=body, pids=(server.process.pid,))
        server.wait_until(lambda: http_is_right(target, workshop.forest))
        yield {"bentoml": target}


SITES: Final[Mapping[str, Site]] = {
    "raw_grpc": raw_grpc,
    "ray_tuned": ray_serve("ray_tuned", _RAY_TUNED),
    "ray_installed": ray_serve("ray_installed", {}),
    "mlserver_in_process": mlserver("mlserver_in_process", 0),
    "mlserver_worker": mlserver("mlserver_worker", 1),
    "bentoml": bentoml,
}


def grpc_is_right(target: Target, forest: Forest) -> bool:
    """Whether a server gives the model's own answer."""
    request = pb.ModelInferRequest.FromString(target.body.read_bytes())
    try:
        with grpc.insecure_channel(target.address) as channel:
            stub = GRPCInferenceServiceStub(channel)
            answer = stub.ModelInfer(request, timeout=_ASK_S, metadata=tuple(target.metadata.items()))
    except grpc.RpcError:
        return False
    names = [output.name for output in answer.outputs]
    raw = answer.raw_output_contents[names.index("probabilities")]
    return forest.is_right(np.frombuffer(raw, "<f4"))


def http_is_right(target: Target, forest: Forest) -> bool:
    """Whether a server gives the model's own answer, in the form that it was asked for."""
    headers = {"content-type": target.content_type, **target.metadata}
    try:
        answer = requests.post(target.address, data=target.body.read_bytes(), headers=headers, timeout=_ASK_S)
    except requests.RequestException:
        return False
    return answer.ok and forest.is_right(probabilities_of(answer.content, answer.headers.get(HEADER_LENGTH)))


def probabilities_of(body: bytes, header_length: str | None) -> Any:
    """What an answer over HTTP says: a plain object, the protocol's JSON, or its binary form."""
    end = len(body) if header_length is None else int(header_length)
    said = json.loads(body[:end])
    if "outputs" not in said:
        return said["probabilities"]
    at = end
    for output in said["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size", 0)
        if output["name"] == "probabilities":
            return np.frombuffer(body[at : at + size], "<f4") if size else output["data"]
        at += size
    raise ValueError(f"no probabilities among the outputs of {said}")


def _grpc_target(port: int, forest: Forest, *, server: Server) -> Target:
    target = Target(address=f"{LOOPBACK}:{port}", body=forest.grpc_body, pids=(server.process.pid,))
    server.wait_until(lambda: grpc_is_right(target, forest))
    return target


def rest_target(port: int, forest: Forest, *, metadata: Mapping[str, str] | None = None) -> Target:
    """The model behind the protocol's REST form, in JSON."""
    return Target(
        address=f"http://{LOOPBACK}:{port}/v2/models/{MODEL}/infer",
        body=forest.rest_body,
        metadata=metadata or {},
    )


def _rest_target(port: int, forest: Forest, *, server: Server) -> Target:
    target = replace(rest_target(port, forest), pids=(server.process.pid,))
    server.wait_until(lambda: http_is_right(target, forest))
    return target


def _programs(peer: str, workshop: Workshop) -> Path:
    return install(peer, PEERS / peer / "requirements.txt", cache=workshop.cache)
