from dataclasses import replace
from typing import Any

import pytest

from services.gateway.domain.feedback import FeedbackItem, check_count, check_item, subject_of
from slipway.errors import InvalidInput

GOOD = FeedbackItem(
    prediction_id="p",
    business_key="",
    model="",
    source="",
    feedback_id="",
    content="label",
    text="1",
    number=0,
)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"prediction_id": "", "business_key": "order-1", "model": "elec2"},
        {"content": "retract", "text": ""},
        {"content": "rating", "number": 1.0},
        {"content": "business_value", "number": -3.5},
        {"content": "accepted", "text": ""},
    ],
)
def test_takes_good_items(change: dict[str, Any]) -> None:
    check_item(replace(GOOD, **change), index=0)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"prediction_id": ""}, r"items\[3\].prediction_id: give it"),
        ({"prediction_id": "", "business_key": "k"}, r"items\[3\].model"),
        ({"content": None}, "give one of label"),
        ({"text": ""}, "label: is empty; to withdraw"),
        ({"content": "edited_label", "text": ""}, "edited_label: is empty"),
        ({"content": "rating", "number": 1.1}, "rating: 1.1 is not within"),
        ({"content": "rating", "number": float("nan")}, "rating: nan"),
        ({"content": "business_value", "number": float("inf")}, "business_value: inf"),
        ({"source": "x" * 1025}, "source: 1025 characters"),
    ],
)
def test_names_what_is_wrong(change: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        check_item(replace(GOOD, **change), index=3)


def test_bounds_the_number_of_items() -> None:
    check_count(1)
    check_count(1000)
    for count in (0, 1001):
        with pytest.raises(InvalidInput, match=f"{count} items"):
            check_count(count)


def test_the_subject_is_the_prediction_or_else_the_key() -> None:
    assert subject_of("p", "k") == "p"
    assert subject_of("", "k") == "key:k"
