from hypothesis import given
from hypothesis import strategies as st

from services.drift_detection.domain.accumulation import (
    Accumulator,
    Block,
    Limits,
    Observation,
    accumulate,
)
from services.drift_detection.domain.sketch import Sketch

LIMITS = Limits(slot_rows=4, versions=2)


def observation(offset: int, version: str = "1") -> Observation:
    return Observation(offset=offset, version=version, sketch=Sketch(rows=1, first_at_s=offset + 1.0))


def log(length: int) -> list[Observation]:
    return [observation(offset, version=str(offset % 3 % 2)) for offset in range(length)]


def spans(blocks: list[tuple[str, Block]]) -> list[tuple[str, int, int, int]]:
    return [(version, b.first_offset, b.last_offset, b.sketch.rows) for version, b in blocks]


def test_publishes_full_slots_then_the_open_ones() -> None:
    _, blocks = accumulate(Accumulator(), [observation(o) for o in range(6)], limits=LIMITS)
    assert spans(blocks) == [("1", 0, 3, 4), ("1", 4, 5, 2)]


def test_a_slot_that_grows_again_contains_what_was_published_before() -> None:
    state, _ = accumulate(Accumulator(), [observation(0), observation(1)], limits=LIMITS)
    _, blocks = accumulate(state, [observation(2)], limits=LIMITS)
    assert spans(blocks) == [("1", 0, 2, 3)]


def test_what_was_counted_is_passed_over() -> None:
    state, _ = accumulate(Accumulator(), [observation(0), observation(1)], limits=LIMITS)
    assert accumulate(state, [observation(0), observation(1)], limits=LIMITS) == (state, [])


def test_keeps_slots_of_the_newest_versions_only() -> None:
    versions = [observation(0, "a"), observation(1, "b"), observation(2, "c")]
    state, blocks = accumulate(Accumulator(), versions, limits=LIMITS)
    assert sorted(state.slots) == ["b", "c"]
    assert [version for version, _ in blocks] == ["a", "b", "c"]


@given(st.integers(0, 40), st.lists(st.integers(0, 40)), st.integers(0, 40))
def test_blocks_that_end_alike_are_alike_wherever_reading_stopped(
    length: int, cuts: list[int], back: int
) -> None:
    """Batches are cut at will, and after each cut reading begins `back` records earlier again."""
    records = log(length)
    at_once, _ = accumulate(Accumulator(), records, limits=LIMITS)
    known: dict[tuple[str, int], Block] = {}
    for at in range(length):
        for version, block in accumulate(Accumulator(), records[: at + 1], limits=LIMITS)[1]:
            known[version, block.last_offset] = block
    state, start = Accumulator(), 0
    for cut in [*sorted(cuts), length]:
        state, blocks = accumulate(state, records[max(0, start - back) : cut], limits=LIMITS)
        start = min(cut, length)
        for version, block in blocks:
            assert known[version, block.last_offset] == block
    assert state == at_once
