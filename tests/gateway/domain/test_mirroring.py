import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.elements import join
from services.gateway.domain.mirroring import (
    IN_FLIGHT,
    MEMORY,
    MirrorLimits,
    Room,
    TokenBucket,
    answered_texts,
    is_chosen,
)
from services.gateway.domain.routing import BUCKETS, Arm, Route, choose
from slipway.signature import TensorSpec

A, B = ("m", "1"), ("m", "2")


def shadow(mirror_ppm: int) -> Arm:
    return Arm(version="2", digest="", upstream="", role="shadow", weight_ppm=0, mirror_ppm=mirror_ppm)


def arm(version: str, role: str) -> Arm:
    return Arm(version=version, digest="", upstream="", role=role, weight_ppm=BUCKETS // 2)


def test_a_share_of_the_requests_is_chosen_whatever_arm_they_have() -> None:
    both = Route(model="m", epoch=1, salt="s", arms=(arm("1", "champion"), arm("2", "canary")))
    ids = [f"prediction-{n}" for n in range(20_000)]
    of_champion = [i for i in ids if choose(both, i).version == "1"]
    share = sum(is_chosen(shadow(200_000), i, salt="s") for i in of_champion) / len(of_champion)
    assert abs(share - 0.2) < 5 * (0.2 * 0.8 / len(of_champion)) ** 0.5


@given(st.text(), st.text(max_size=8))
def test_all_or_none_can_be_chosen(prediction_id: str, salt: str) -> None:
    assert is_chosen(shadow(BUCKETS), prediction_id, salt=salt)
    assert not is_chosen(shadow(0), prediction_id, salt=salt)


@given(st.floats(0.1, 500), st.lists(st.floats(0, 0.5), min_size=1, max_size=300))
def test_no_more_than_the_rate_and_a_tenth_of_a_second_at_once(rate: float, gaps_s: list[float]) -> None:
    bucket, now_s, taken = TokenBucket(), 100.0, 0
    for gap_s in gaps_s:
        now_s += gap_s
        taken += bucket.take(rate, now_s)
    assert taken <= max(1.0, rate / 10) + rate * (now_s - 100.0) + 1e-6


def test_a_steady_stream_below_the_rate_is_let_through() -> None:
    bucket = TokenBucket()
    assert all(bucket.take(50, n / 49) for n in range(200))


def test_a_rate_of_0_lets_nothing_through() -> None:
    bucket = TokenBucket()
    assert not any(bucket.take(0, float(n)) for n in range(10))


def test_a_rate_below_one_a_second_lets_one_through_at_a_time() -> None:
    bucket = TokenBucket()
    assert [bucket.take(0.5, now_s) for now_s in (0.0, 1.0, 2.0, 3.0, 4.5)] == [
        True,
        False,
        True,
        False,
        True,
    ]


def test_one_version_does_not_take_the_room_of_the_others() -> None:
    room = Room(MirrorLimits(in_flight_per_arm=2, in_flight=3, memory_bytes=1000))
    room.enter(A, 10)
    room.enter(A, 10)
    assert (room.refusal(A, 1), room.refusal(B, 1)) == (IN_FLIGHT, None)
    room.enter(B, 10)
    assert room.refusal(B, 1) == IN_FLIGHT
    room.leave(A, 10)
    room.leave(A, 10)
    assert (room.refusal(A, 1), room.in_flight, room.held_bytes) == (None, 1, 10)


def test_memory_is_bounded() -> None:
    room = Room(MirrorLimits(memory_bytes=100))
    assert room.refusal(A, 101) == MEMORY
    room.enter(A, 60)
    assert (room.refusal(A, 40), room.refusal(A, 41)) == (None, MEMORY)


@pytest.mark.parametrize(
    ("output", "raw", "texts"),
    [
        (
            TensorSpec("label", "BYTES", (-1,)),
            join([b"1", b"caf\xc3\xa9", b"a\0\xff"]),
            ["1", "café", "a\ufffd"],
        ),
        (
            TensorSpec("value", "FP32", (-1,)),
            np.array([0.1, 2, 1e20], dtype="<f4").tobytes(),
            ["0.1", "2.0", "1e+20"],
        ),
    ],
)
def test_answers_are_told_as_feedback_compares_them(output: TensorSpec, raw: bytes, texts: list[str]) -> None:
    assert answered_texts((output, TensorSpec("probabilities", "FP32", (-1, 2))), (raw, b"")) == texts
