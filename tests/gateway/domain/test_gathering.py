from services.gateway.domain.gathering import Gathering


def busy() -> Gathering:
    gathering = Gathering()
    for _ in range(20):
        gathering.started(4)
    return gathering


def test_a_caller_alone_has_no_company() -> None:
    gathering = Gathering()
    for _ in range(100):
        gathering.started(1)
    assert not gathering.has_company


def test_company_is_remembered_and_forgotten() -> None:
    gathering = busy()
    assert gathering.has_company
    for _ in range(40):
        gathering.started(1)
    assert not gathering.has_company


def test_waits_while_requests_keep_coming() -> None:
    gathering = busy()
    gathering.begin(count=1, until_s=10.0)
    assert all(gathering.goes_on(count=1 + n // 10, now_s=1.0) for n in range(500))


def test_ends_when_nobody_comes() -> None:
    gathering = busy()
    gathering.begin(count=1, until_s=10.0)
    turns = [gathering.goes_on(count=1, now_s=1.0) for _ in range(30)]
    assert turns == [True] * 20 + [False] * 10


def test_ends_when_it_has_waited_as_long_as_the_call_will_take() -> None:
    gathering = busy()
    gathering.begin(count=1, until_s=1.005)
    assert gathering.goes_on(count=2, now_s=1.004)
    assert not gathering.goes_on(count=3, now_s=1.005)


def test_a_new_wait_begins_anew() -> None:
    gathering = busy()
    gathering.begin(count=5, until_s=1.0)
    assert not gathering.goes_on(count=5, now_s=1.0)
    gathering.begin(count=5, until_s=2.0)
    assert gathering.goes_on(count=5, now_s=1.5)
