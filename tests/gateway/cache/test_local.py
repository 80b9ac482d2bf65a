import tracemalloc

import pytest

from services.gateway.cache.local import ENTRY_BYTES, LocalTier
from services.gateway.domain.caching import Keys, StaleAnswer

ONE = ENTRY_BYTES + 100
VALUE = (b"v" * 100,)


def answer(*outputs: bytes) -> StaleAnswer:
    return StaleAnswer(version="1", digest="d", outputs=outputs)


def keys(exact: int, question: int | None = None) -> Keys:
    asked = exact if question is None else question
    return Keys(exact=exact.to_bytes(16, "big"), any_version=asked.to_bytes(16, "little"))


def get(tier: LocalTier, exact: int, now_s: float = 0.0) -> object:
    return tier.get(keys(exact).exact, now_s=now_s, ttl_s=10)


@pytest.fixture
def tier() -> LocalTier:
    return LocalTier(10 * ONE)


def put(tier: LocalTier, exact: int, question: int | None = None, *, model: str = "m") -> None:
    tier.put(model, keys(exact, question), answer(*VALUE), computed_s=0)


def test_an_answer_lives_as_long_as_its_time(tier: LocalTier) -> None:
    put(tier, 1)
    assert get(tier, 1, now_s=9.9) == VALUE
    assert get(tier, 1, now_s=10) is None
    assert get(tier, 2) is None


def test_the_least_recently_used_go_first_and_the_bytes_stay_within_their_bound(tier: LocalTier) -> None:
    for n in range(10):
        put(tier, n)
    assert get(tier, 0)
    put(tier, 10)
    assert get(tier, 0)
    assert get(tier, 1) is None
    assert (len(tier), tier.size_bytes) == (10, 10 * ONE)


def test_an_answer_again_takes_no_more_room(tier: LocalTier) -> None:
    for _ in range(3):
        put(tier, 1)
    assert (len(tier), tier.size_bytes) == (1, ONE)


def test_one_large_answer_does_not_empty_the_shelf(tier: LocalTier) -> None:
    put(tier, 1)
    tier.put("m", keys(2), answer(b"v" * 2 * ONE), computed_s=0)
    assert get(tier, 2) is None
    assert get(tier, 1)


def test_a_flush_takes_one_model_s_answers_and_nobody_else_s(tier: LocalTier) -> None:
    put(tier, 1)
    put(tier, 2, model="other")
    tier.flush("m")
    tier.flush("unknown")
    assert get(tier, 1) is None
    assert get(tier, 2)
    assert tier.size_bytes == ONE
    assert tier.stale(keys(1).any_version, now_s=0, oldest_s=99) is None


def test_retired_answers_serve_as_a_fallback_only(tier: LocalTier) -> None:
    put(tier, 1, question=7)
    tier.retire("m")
    assert get(tier, 1) is None
    question = keys(1, 7).any_version
    assert tier.stale(question, now_s=98, oldest_s=99) == answer(*VALUE)
    assert tier.stale(question, now_s=99, oldest_s=99) is None
    put(tier, 1, question=7)
    assert get(tier, 1)


def test_the_fallback_is_the_last_answer_of_any_version(tier: LocalTier) -> None:
    put(tier, 1, question=7)
    tier.put("m", keys(2, 7), answer(b"newer"), computed_s=1)
    question = keys(1, 7).any_version
    assert tier.stale(question, now_s=2, oldest_s=99) == answer(b"newer")
    put(tier, 1, question=7)
    assert tier.stale(question, now_s=2, oldest_s=99) == answer(*VALUE)


def test_an_entry_costs_what_is_reckoned() -> None:
    tier = LocalTier(10**9)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for n in range(5000):
        tier.put("m", keys(n), answer(n.to_bytes(100, "big")), computed_s=float(n))
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.6 < (after - before) / tier.size_bytes < 1.1
