from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.framing import MAX_PAYLOAD_BYTES, find_frame, frame, read_frames, sound_end

MARK = b"["
payloads = st.lists(st.binary(min_size=1, max_size=200), max_size=10)
marked = st.lists(st.binary(max_size=50).map(lambda text: MARK + text), min_size=1, max_size=10)


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


def test_zeros_that_a_power_cut_left_are_damage() -> None:
    found = read_frames(frame(b"a") + bytes(64))
    assert (found.payloads, found.is_damaged) == ((b"a",), True)


@given(marked, marked, st.data())
def test_behind_a_flipped_bit_the_next_whole_frame_is_found(
    before: list[bytes], after: list[bytes], data: st.DataObject
) -> None:
    head, tail = b"".join(map(frame, before)), b"".join(map(frame, after))
    spoiled = bytearray(frame(MARK + b"spoiled"))
    spoiled[data.draw(st.integers(0, len(spoiled) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    whole = head + bytes(spoiled) + tail
    begin = find_frame(whole, MARK, start=len(head))
    assert begin == len(head) + len(spoiled)
    assert read_frames(whole, start=begin).payloads == tuple(after)


@given(marked, st.binary(max_size=30), marked, st.data())
def test_only_what_follows_the_last_whole_frame_is_a_torn_tail(
    before: list[bytes], spoiled: bytes, after: list[bytes], data: st.DataObject
) -> None:
    sound = b"".join(map(frame, before)) + spoiled + b"".join(map(frame, after))
    torn = frame(MARK + b"never acknowledged")
    assert sound_end(sound + torn[: data.draw(st.integers(0, len(torn) - 1))], MARK) == len(sound)


def test_where_nothing_is_whole_nothing_is_found() -> None:
    assert find_frame(frame(b"[abc")[:-1], MARK, start=0) is None
    assert find_frame(b"", MARK, start=0) is None
    assert sound_end(b"", MARK) == 0
