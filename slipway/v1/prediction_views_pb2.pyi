from slipway.v1 import predictions_pb2 as _predictions_pb2
from slipway.v1 import tensors_pb2 as _tensors_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ServedView(_message.Message):
    __slots__ = ("context", "payload", "flags", "input_scores", "abstained")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    INPUT_SCORES_FIELD_NUMBER: _ClassVar[int]
    ABSTAINED_FIELD_NUMBER: _ClassVar[int]
    context: _predictions_pb2.PredictionContext
    payload: bytes
    flags: _containers.RepeatedScalarFieldContainer[str]
    input_scores: _containers.RepeatedScalarFieldContainer[float]
    abstained: bytes
    def __init__(self, context: _Optional[_Union[_predictions_pb2.PredictionContext, _Mapping]] = ..., payload: _Optional[bytes] = ..., flags: _Optional[_Iterable[str]] = ..., input_scores: _Optional[_Iterable[float]] = ..., abstained: _Optional[bytes] = ...) -> None: ...

class PayloadView(_message.Message):
    __slots__ = ("inputs", "outputs")
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    inputs: _containers.RepeatedScalarFieldContainer[bytes]
    outputs: _containers.RepeatedCompositeFieldContainer[_tensors_pb2.Tensor]
    def __init__(self, inputs: _Optional[_Iterable[bytes]] = ..., outputs: _Optional[_Iterable[_Union[_tensors_pb2.Tensor, _Mapping]]] = ...) -> None: ...

class AnswerView(_message.Message):
    __slots__ = ("outputs",)
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    outputs: _containers.RepeatedCompositeFieldContainer[_tensors_pb2.Tensor]
    def __init__(self, outputs: _Optional[_Iterable[_Union[_tensors_pb2.Tensor, _Mapping]]] = ...) -> None: ...
