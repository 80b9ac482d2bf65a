from services.rollout.domain.history import MOST, NO_HISTORY, add, is_due, must_thin, thinned


def test_a_long_rollout_keeps_a_bounded_number_of_points_over_its_whole_life() -> None:
    history, now_s, kept = NO_HISTORY, 1000.0, list[float]()
    for _ in range(20_000):
        now_s += 1
        if not is_due(history, now_s=now_s):
            continue
        if must_thin(history):
            history, kept = thinned(history), kept[::2]
        history = add(history, now_s=now_s)
        kept.append(now_s)
        assert history.kept == len(kept) <= MOST
    assert len(kept) > MOST / 4
    assert kept[0] == 1001
    assert now_s - kept[-1] <= history.every_s
    # spread over all of it, not crowded at one end
    assert kept[len(kept) // 2] > 5000


def test_numbers_are_never_given_twice() -> None:
    history = add(thinned(add(add(NO_HISTORY, now_s=1), now_s=3)), now_s=5)
    assert (history.next, history.kept, history.last_at_s) == (3, 2, 5)
