from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.wire_format import field, varint
from slipway.v1.tensors_pb2 import FeatureBins


@given(st.integers(0, 2**64 - 1))
def test_varints_are_those_of_protobuf(number: int) -> None:
    read = 0
    for place, byte in enumerate(varint(number)):
        read |= (byte & 0x7F) << 7 * place
    assert read == number
    assert varint(number)[-1] < 0x80


@given(st.text(), st.binary(max_size=400))
def test_fields_behind_each_other_are_a_message(feature: str, codes: bytes) -> None:
    data = field(1, feature.encode()) + field(2, codes)
    assert FeatureBins.FromString(data) == FeatureBins(feature=feature, codes=codes)
