"""What an application's own Kafka user may be called and may do."""

from dataclasses import replace
from typing import Any

import pytest

from slipway.errors import Conflict, InvalidInput
from slipway.stack.kafka_acls import Acl, Operation, Pattern, Resource, kafka_users
from slipway.stack.kafka_guests import READABLE, WRITABLE, Guest, check_name
from slipway.topics import BY_NAME

SHOP = Guest(name="shop", writes=("feedback",), reads=("labels",))


def test_it_may_do_what_it_was_given_and_join_groups_of_its_own() -> None:
    topic: dict[str, Any] = {"user": "shop", "resource": Resource.TOPIC}
    group = Acl(
        user="shop",
        resource=Resource.GROUP,
        name="applications.shop.",
        operation=Operation.READ,
        pattern=Pattern.PREFIXED,
    )
    assert SHOP.acls() == {
        Acl(**topic, name="feedback", operation=Operation.WRITE),
        Acl(**topic, name="labels", operation=Operation.READ),
        group,
    }
    assert group not in replace(SHOP, reads=()).acls()


def test_what_decides_and_what_is_secret_is_not_for_applications() -> None:
    for name in sorted(BY_NAME.keys() - {*WRITABLE}):
        with pytest.raises(InvalidInput, match="not written by applications"):
            replace(SHOP, writes=(name,)).acls()
    for name in sorted(BY_NAME.keys() - {*READABLE}):
        with pytest.raises(InvalidInput, match="not read by applications"):
            replace(SHOP, reads=(name,)).acls()
    assert WRITABLE == ("feedback",)
    assert not {"routes", "identities", "model_specs"} & {*READABLE}


@pytest.mark.parametrize("name", [*kafka_users(), "kafka", "operator"])
def test_it_takes_no_name_of_the_stack(name: str) -> None:
    with pytest.raises((Conflict, InvalidInput)):
        check_name(name)


@pytest.mark.parametrize("name", ["", "../x", "Shop", "shop.", "a" * 64, "shop\n"])
def test_a_name_that_could_be_a_path_or_another_group_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="small letters"):
        check_name(name)
