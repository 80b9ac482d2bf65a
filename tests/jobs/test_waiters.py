from services.jobs.waiters import Waiters


def test_all_who_wait_for_a_job_are_woken_and_nobody_else() -> None:
    waiters = Waiters()
    with waiters.waiting("a") as first, waiters.waiting("a") as second, waiters.waiting("b") as other:
        waiters.wake("a")
        waiters.wake("c")
        assert (first.is_set(), second.is_set(), other.is_set()) == (True, True, False)
    waiters.wake("a")
    assert waiters._events == {}


def test_not_everybody_may_wait() -> None:
    waiters = Waiters()
    contexts = [waiters.waiting(str(n)) for n in range(1000)]
    for context in contexts:
        context.__enter__()
    assert waiters.is_full
    for context in contexts:
        context.__exit__(None, None, None)
    assert not waiters.is_full
