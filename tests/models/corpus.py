"""Model files that nobody should open, and honest ones. Each payload would write a canary file."""

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import joblib
import numpy as np
import onnx
import skops.io
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

SPEC: Final = """
name: m
task: binary
features: [{name: a}, {name: b}]
label: {name: y, classes: ["0", "1"]}
"""
X: Final = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)


class Payload:
    """Writes the canary when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self._canary}",)


def fitted() -> LogisticRegression:
    return LogisticRegression().fit(X, (X[:, 0] > 0).astype(int))


def honest_onnx() -> bytes:
    return bytes(to_onnx(fitted(), X[:1], options={"zipmap": False}).SerializeToString())


def honest_skops() -> bytes:
    return bytes(skops.io.dumps(fitted()))


def graph_of(*nodes: Any, initializers: tuple[Any, ...] = (), domains: tuple[str, ...] = ("",)) -> bytes:
    """A model of the spec's signature around nodes that must give `probabilities` [n, 2]."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])],
        initializer=list(initializers),
    )
    opsets = [helper.make_opsetid(domain, 17 if domain == "" else 1) for domain in domains]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def ints(name: str, *values: int) -> Any:
    return numpy_helper.from_array(np.array(values, dtype=np.int64), name)


def zip_of(**members: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return made.getvalue()


def _joblib(payload: Payload, compress: Any) -> bytes:
    made = io.BytesIO()
    joblib.dump(payload, made, compress=compress)
    return made.getvalue()


def _with_external_data(location: str) -> bytes:
    model = onnx.ModelProto.FromString(honest_onnx())
    tensor = model.graph.initializer.add(name="w", data_type=TensorProto.FLOAT, dims=[2])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return bytes(model.SerializeToString())


def _skops_with(schema: Callable[[dict[str, Any]], None]) -> bytes:
    source = zipfile.ZipFile(io.BytesIO(honest_skops()))
    members = {name: source.read(name) for name in source.namelist()}
    content = json.loads(members["schema.json"])
    schema(content)
    members["schema.json"] = json.dumps(content).encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return made.getvalue()


def pickles(canary: Path) -> Iterator[tuple[str, bytes]]:
    """Pickles in all their clothes."""
    payload = Payload(canary)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        yield f"pickle protocol {protocol}", pickle.dumps(payload, protocol)
    plain = pickle.dumps(payload)
    yield "joblib", _joblib(payload, 0)
    for method in ("zlib", "gzip", "bz2", "xz", "lzma"):
        yield f"joblib {method}", _joblib(payload, (method, 3))
    yield "gzip", gzip.compress(plain)
    yield "bz2", bz2.compress(plain)
    yield "xz", lzma.compress(plain)
    yield "zlib", zlib.compress(plain)
    yield "torch", zip_of(**{"archive/data__pkl": plain, "archive/version": b"3"})
    yield "torch legacy", pickle.dumps(0x1950A86A20F9469CFC6C, 2) + plain
    yield "numpy of objects", _npy(payload)
    yield "keras", zip_of(config__json=b"{}", metadata__json=b"{}", **{"model__weights__h5": b"\x89HDF"})
    yield "hdf5", b"\x89HDF\r\n\x1a\n" + plain


def _npy(payload: Payload) -> bytes:
    made = io.BytesIO()
    np.save(made, np.array([payload], dtype=object), allow_pickle=True)
    return made.getvalue()


def polyglots(canary: Path) -> Iterator[tuple[str, bytes]]:
    """Files that are two things at once."""
    payload, onnx_file, skops_file = pickle.dumps(Payload(canary)), honest_onnx(), honest_skops()
    yield "onnx then pickle", onnx_file + payload
    yield "onnx then text pickle", onnx_file + pickle.dumps(Payload(canary), 0)
    yield "pickle then onnx", payload + onnx_file
    yield "onnx then zip", onnx_file + skops_file
    yield "onnx then torch", onnx_file + zip_of(**{"a/data__pkl": payload})
    yield "pickle then skops", payload + skops_file
    yield "skops then pickle", skops_file + payload
    yield "zip comment", _commented(skops_file, payload)
    yield "skops with a pickle beside", _skops_and(skops_file, "model.pkl", payload)
    yield "skops with a stranger", _skops_and(skops_file, "run.sh", b"touch /tmp/x")
    yield "skops twice", _skops_and(skops_file, "schema.json", b"{}")
    yield "onnx with a pickle as unknown field", onnx_file + _field(99, payload)


def _commented(archive: bytes, comment: bytes) -> bytes:
    return archive[:-2] + struct.pack("<H", len(comment)) + comment


def _skops_and(archive: bytes, name: str, content: bytes) -> bytes:
    made = io.BytesIO(archive)
    with warnings.catch_warnings(), zipfile.ZipFile(made, "a") as opened:
        warnings.simplefilter("ignore")  # of a name that is there already: that is the point
        opened.writestr(name, content)
    return made.getvalue()


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def forbidden_skops(canary: Path) -> Iterator[tuple[str, bytes]]:
    """skops files whose types are not on the list."""

    def system(content: dict[str, Any]) -> None:
        content["__class__"], content["__module__"] = "system", "os"
        content["__loader__"] = "FunctionNode"
        content["content"] = {"module_path": "os", "function": "system"}

    def reduced(content: dict[str, Any]) -> None:
        content["__class__"], content["__module__"], content["__loader__"] = (
            "Popen",
            "subprocess",
            "ReduceNode",
        )

    yield "os.system", _skops_with(system)
    yield "subprocess.Popen", _skops_with(reduced)
    transformer = make_pipeline(FunctionTransformer(os.system), fitted())
    yield "a function in a pipeline", bytes(skops.io.dumps(transformer))
    yield "no schema", _skops_with(dict.clear)
    yield "what the payload is", bytes(skops.io.dumps({"a": Payload(canary)}))


def hostile_onnx() -> Iterator[tuple[str, bytes, str]]:
    """Graphs that are no plain, bounded computation; with what the refusal says."""
    node = helper.make_node
    whole = node("Softmax", ["features"], ["probabilities"])
    yield "/etc/passwd", _with_external_data("/etc/passwd"), "in another file"
    yield "traversal", _with_external_data("../../secrets/operator.token"), "in another file"
    yield "beside", _with_external_data("weights.bin"), "in another file"
    custom = node("Run", ["features"], ["probabilities"], domain="evil.ops")
    yield "custom operator", graph_of(custom, domains=("", "evil.ops")), "of domain 'evil.ops'"
    huge = node("ConstantOfShape", ["shape"], ["big"])
    yield "huge constant", graph_of(huge, whole, initializers=(ints("shape", 10**6, 10**6),)), "elements"
    expand = node("Expand", ["features", "shape"], ["big"])
    yield "huge expansion", graph_of(expand, whole, initializers=(ints("shape", 10**9, 2),)), "elements"
    yield "endless loop", graph_of(_loop("trips"), whole, initializers=(ints("trips", 2**62),)), "loops"
    yield "deep graphs", graph_of(_nested(8), whole), "nests"
    yield "no graph", helper.make_model(helper.make_graph([], "g", [], [])).SerializeToString(), "no graph"
    yield "not onnx", b"\x08\x08" + b"\xff" * 40, "not parse"
    yield "truncated", honest_onnx()[:-7], "not parse"


def _loop(trips: str) -> Any:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("go_on", TensorProto.BOOL, [])],
    )
    return helper.make_node("Loop", [trips, ""], [], body=body)


def _nested(depth: int) -> Any:
    inner = helper.make_node("Constant", [], ["c"], value=ints("v", 1))
    for level in range(depth):
        output = helper.make_tensor_value_info("c", TensorProto.INT64, [1])
        branch = helper.make_graph([inner], f"b{level}", [], [output])
        inner = helper.make_node("If", ["features"], ["c"], then_branch=branch, else_branch=branch)
    return inner
