from services.jobs.domain.pace import full_speed


def test_refusals_halve_it_and_answers_bring_it_back() -> None:
    pace = full_speed(16)
    assert pace.has_room(15, 0)
    assert not pace.has_room(16, 0)
    pace = pace.refused(0.0)
    assert (pace.limit, pace.has_room(0, 0.05), pace.has_room(0, 0.1), pace.has_room(8, 0.1)) == (
        8.0,
        False,
        True,
        False,
    )
    for _ in range(200):
        pace = pace.answered()
    assert pace.limit == 16


def test_refusals_of_one_moment_are_one() -> None:
    pace = full_speed(16)
    for _ in range(10):
        pace = pace.refused(0.0)
    assert (pace.limit, pace.refusals) == (8.0, 1)


def test_the_pause_grows_to_a_bound_and_one_is_always_tried() -> None:
    pace, now_s, pauses = full_speed(4), 0.0, []
    for _ in range(30):
        pace = pace.refused(now_s)
        pauses.append(pace.paused_until_s - now_s)
        now_s = pace.paused_until_s
    assert pauses[0] < 0.11
    assert max(pauses) < 5.001
    assert pace.has_room(0, now_s)
    assert not pace.has_room(1, now_s)
    assert pace.answered().refusals == 0
