from uuid import UUID

from slipway.ids import new_id


def test_ids_are_uuid_version_7() -> None:
    value = UUID(new_id())
    assert value.version == 7
    assert value.variant == "specified in RFC 4122"


def test_ids_sort_in_the_order_they_were_made() -> None:
    ids = [new_id() for _ in range(20_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
