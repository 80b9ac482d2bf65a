from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.elements import element_ends, join, split, split_all

elements = st.lists(st.binary(max_size=20), max_size=10)


@given(elements)
def test_joined_elements_come_apart_again(items: list[bytes]) -> None:
    raw = join(items)
    ends = element_ends(raw, len(items))
    assert ends is not None
    assert split(raw, ends) == items
    assert split_all(raw) == items


@given(elements, st.integers(0, 12))
def test_another_count_is_refused(items: list[bytes], count: int) -> None:
    if count != len(items):
        assert element_ends(join(items), count) is None


def test_an_element_longer_than_the_bytes_is_refused() -> None:
    assert element_ends(join([b"abc"])[:-1], 1) is None
