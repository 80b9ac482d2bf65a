"""Hypothesis strategies for protobuf messages, made from their descriptors: what any client could send."""

from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

_F = FieldDescriptor
_TEXTS = st.text(max_size=20) | st.sampled_from(
    ["m", "features", "FP32", "BYTES", "INT64", "\x00", "../..", "a" * 5000]
)
_SCALARS: dict[int, st.SearchStrategy[Any]] = {
    _F.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    _F.CPPTYPE_INT64: st.sampled_from([0, 1, 2, -1, 2**31, 2**62, -(2**63)]),
    _F.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
    _F.CPPTYPE_UINT64: st.sampled_from([0, 1, 2**63, 2**64 - 1]),
    _F.CPPTYPE_DOUBLE: st.floats(),
    _F.CPPTYPE_FLOAT: st.floats(width=32),
    _F.CPPTYPE_BOOL: st.booleans(),
}
_MAX_DEPTH = 4


def messages(descriptor: Descriptor, depth: int = 0) -> st.SearchStrategy[Message]:
    """Any message of a type, fields left out at will."""
    kind = GetMessageClass(descriptor)
    fields = {
        field.name: _values(field, depth) for field in descriptor.fields if not _is_too_deep(field, depth)
    }
    return st.fixed_dictionaries({}, optional=fields).map(
        lambda given: kind(**_one_of_each(descriptor, given))
    )


def _is_too_deep(field: FieldDescriptor, depth: int) -> bool:
    return field.cpp_type == _F.CPPTYPE_MESSAGE and depth >= _MAX_DEPTH


def _values(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    one = _single(field, depth)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        keys, values = (field.message_type.fields_by_name[name] for name in ("key", "value"))
        return st.dictionaries(_single(keys, depth), _single(values, depth), max_size=3)
    return st.lists(one, max_size=4) if field.is_repeated else one


def _single(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return messages(field.message_type, depth + 1)
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values])
    if field.cpp_type == _F.CPPTYPE_STRING:
        return st.binary(max_size=40) if field.type == _F.TYPE_BYTES else _TEXTS
    return _SCALARS[field.cpp_type]


def _one_of_each(descriptor: Descriptor, given: dict[str, Any]) -> dict[str, Any]:
    """Of a oneof the first field that was drawn."""
    for group in descriptor.oneofs:
        for name in [field.name for field in group.fields if field.name in given][1:]:
            del given[name]
    return given
