from slipway.recently_seen import RecentlySeen


def test_tells_a_double_from_a_new_identifier() -> None:
    seen = RecentlySeen(4)
    assert [seen.add(i) for i in ("a", "b", "a")] == [True, True, False]


def test_a_message_that_is_read_again_is_no_double() -> None:
    seen = RecentlySeen(4)
    assert [seen.add("a", at=at) for at in ("0:7", "0:7", "0:9")] == [True, True, False]


def test_forgets_the_oldest_beyond_its_capacity() -> None:
    seen = RecentlySeen(2)
    for identifier in ("a", "b", "a", "c"):
        seen.add(identifier)
    assert (seen.add("a"), seen.add("b")) == (False, True)
