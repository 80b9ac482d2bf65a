from services.jobs.domain.delivery import MOST_TRIES, next_try_s


def test_pauses_double_to_a_bound() -> None:
    pauses = [next_try_s(tries, now_s=0.0, deadline_s=1e9) for tries in range(1, MOST_TRIES)]
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_it_ends_by_count_and_by_deadline() -> None:
    assert next_try_s(MOST_TRIES, now_s=0.0, deadline_s=1e9) is None
    assert next_try_s(3, now_s=100.0, deadline_s=104.0) is None
    assert next_try_s(3, now_s=100.0, deadline_s=104.1) == 104.0
