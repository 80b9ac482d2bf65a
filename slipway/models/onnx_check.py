"""Whether an ONNX file is only a computation, and one of bearable size.

Full parse; no operator outside the standard domains, no weights in other files, no fields that ONNX
does not know (another file may hide there), no sizes, depths or repetitions beyond bounds.
"""

from collections.abc import Iterator
from typing import Any, Final

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet
from onnx import AttributeProto, ModelProto, TensorProto, numpy_helper

from slipway.errors import InvalidInput

DOMAINS: Final = frozenset(("", "ai.onnx", "ai.onnx.ml", "com.microsoft"))  # what ONNX Runtime has itself
_MAX_NODES: Final = 50_000
_MAX_DEPTH: Final = 4
_MAX_ELEMENTS: Final = 100_000_000  # of a tensor that the graph makes out of nothing
_MAX_TRIPS: Final = 1_000_000
_MAX_TEXT_BYTES: Final = 1024 * 1024
_GROWING: Final = frozenset(("ConstantOfShape", "Expand", "RandomNormal", "RandomUniform"))


def check_onnx(content: bytes) -> None:
    """Refuse what is not plainly a bounded ONNX model.

    Raises:
        InvalidInput: Names what was found.
    """
    model = ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise InvalidInput("the file is not ONNX: it does not parse") from error
    if not model.graph.node or not model.graph.output:
        raise InvalidInput("the file is not ONNX: it has no graph with nodes and outputs")
    _check_messages(model)
    if model.training_info:
        raise InvalidInput("the ONNX model carries training information; export it for inference")
    _Walk().graph(model.graph, depth=0, constants={})
    for function in model.functions:
        _Walk().nodes(function.node, depth=1, constants={})


def _check_messages(model: Message) -> None:
    """Every message below: no unknown fields, no external data, no endless texts."""
    for message in _messages(model):
        if len(UnknownFieldSet(message)):
            raise InvalidInput(
                "the ONNX file holds content that is not ONNX (another file appended?); export it anew"
            )
        if isinstance(message, TensorProto):
            _check_tensor(message)
        doc = getattr(message, "doc_string", "")
        if len(doc) > _MAX_TEXT_BYTES:
            raise InvalidInput(f"the ONNX model has a doc_string of {len(doc)} characters")


def _messages(root: Message) -> Iterator[Any]:
    pending: list[Any] = [root]
    while pending:
        message = pending.pop()
        yield message
        for field, value in message.ListFields():
            if field.message_type is not None:
                pending.extend([value] if isinstance(value, Message) else value)


def _check_tensor(tensor: Any) -> None:
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        told = {entry.key: entry.value for entry in tensor.external_data}
        raise InvalidInput(
            f"the ONNX model keeps tensor {tensor.name!r} in another file ({told.get('location', '?')}); "
            "save it in one: onnx.save(model, path, save_as_external_data=False)"
        )


class _Walk:
    """Counts nodes over all subgraphs; knows the constants in reach."""

    def __init__(self) -> None:
        self._nodes = 0

    def graph(self, graph: Any, *, depth: int, constants: dict[str, Any]) -> None:
        if depth > _MAX_DEPTH:
            raise InvalidInput(f"the ONNX model nests graphs deeper than {_MAX_DEPTH}")
        own = constants | {tensor.name: tensor for tensor in graph.initializer}
        self.nodes(graph.node, depth=depth, constants=own)

    def nodes(self, nodes: Any, *, depth: int, constants: dict[str, Any]) -> None:
        for node in nodes:
            self._nodes += 1
            if self._nodes > _MAX_NODES:
                raise InvalidInput(f"the ONNX model has more than {_MAX_NODES} nodes")
            self._node(node, constants)
            for attribute in node.attribute:
                if attribute.type == AttributeProto.GRAPH:
                    self.graph(attribute.g, depth=depth + 1, constants=constants)
                for graph in attribute.graphs:
                    self.graph(graph, depth=depth + 1, constants=constants)

    def _node(self, node: Any, constants: dict[str, Any]) -> None:
        if node.domain not in DOMAINS:
            raise InvalidInput(
                f"the ONNX model uses operator {node.op_type} of domain {node.domain!r}; "
                "only ONNX's own operators are served"
            )
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    constants[node.output[0]] = attribute.t
        elif node.op_type in _GROWING:
            self._check_growth(node, constants)
        elif node.op_type == "Loop" and node.input and node.input[0]:
            trips = _numbers(constants.get(node.input[0]))
            if trips and trips[0] > _MAX_TRIPS:
                raise InvalidInput(f"the ONNX model loops {trips[0]} times, at most {_MAX_TRIPS}")

    def _check_growth(self, node: Any, constants: dict[str, Any]) -> None:
        stated = next((list(a.ints) for a in node.attribute if a.name == "shape"), None)
        shape = stated or _numbers(constants.get(node.input[-1] if node.input else ""))
        elements = 1
        for size in shape or ():
            elements *= max(1, size)
        if elements > _MAX_ELEMENTS:
            raise InvalidInput(
                f"the ONNX model makes a tensor of {elements} elements ({node.op_type}), "
                f"at most {_MAX_ELEMENTS}"
            )


def _numbers(tensor: Any) -> list[int]:
    if tensor is None or tensor.data_type != TensorProto.INT64:
        return []
    try:
        return [int(value) for value in numpy_helper.to_array(tensor).reshape(-1)[:32]]
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"the ONNX model's tensor {tensor.name!r} is malformed: {error}") from error
