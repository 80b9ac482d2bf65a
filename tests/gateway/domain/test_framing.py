from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.framing import MAX_PAYLOAD_BYTES, frame, read_frames

payloads = st.lists(st.binary(max_size=200), max_size=10)


@given(payloads)
def test_what_was_framed_is_read(items: list[bytes]) -> None:
    data = b"".join(map(frame, items))
    found = read_frames(data)
    assert found.payloads == tuple(items)
    assert found.end == len(data)
    assert not found.is_damaged


@given(payloads, st.binary(min_size=1, max_size=200), st.data())
def test_a_torn_tail_is_found(items: list[bytes], last: bytes, data: st.DataObject) -> None:
    whole = b"".join(map(frame, items))
    torn = frame(last)[: data.draw(st.integers(0, len(last) + 7))]
    found = read_frames(whole + torn)
    assert found.payloads == tuple(items)
    assert found.end == len(whole)
    assert not found.is_damaged


@given(payloads, st.binary(min_size=1, max_size=200), st.data())
def test_a_flipped_bit_of_the_content_is_found(items: list[bytes], last: bytes, data: st.DataObject) -> None:
    whole = b"".join(map(frame, items))
    spoiled = bytearray(frame(last))
    spoiled[data.draw(st.integers(4, len(spoiled) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    found = read_frames(whole + bytes(spoiled))
    assert found.payloads == tuple(items)
    assert found.end == len(whole)
    assert found.is_damaged


def test_an_absurd_length_is_damage_not_a_tail() -> None:
    found = read_frames((MAX_PAYLOAD_BYTES + 1).to_bytes(4, "little") + b"\0" * 4)
    assert found.is_damaged
    assert found.end == 0


def test_reads_from_a_start() -> None:
    data = frame(b"a") + frame(b"b")
    assert read_frames(data, start=len(frame(b"a"))).payloads == (b"b",)
