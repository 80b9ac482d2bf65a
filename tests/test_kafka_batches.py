from hypothesis import given
from hypothesis import strategies as st

from slipway.kafka_batches import partition_of


def test_a_key_belongs_where_librdkafka_puts_it() -> None:
    # The check value of CRC-32/ISO-HDLC in the catalogue of parametrised CRC algorithms.
    assert partition_of(b"123456789", 1 << 32) == 0xCBF43926


@given(st.binary(), st.integers(1, 100))
def test_every_key_has_a_partition(key: bytes, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions
