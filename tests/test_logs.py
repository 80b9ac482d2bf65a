import logging

from slipway.logs import Seldom


def record(name: str, message: str, at_s: float) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.ERROR, "", 0, message, (1,), None)
    made.created = at_s
    return made


def test_a_library_that_repeats_itself_is_heard_once_in_a_while() -> None:
    seldom = Seldom("aiokafka", every_s=5.0)
    at = [seldom.filter(record("aiokafka.conn", "no node %s", at_s)) for at_s in (1.0, 1.1, 5.9, 6.1)]
    assert at == [True, False, False, True]


def test_other_messages_and_other_loggers_are_not_held_back() -> None:
    seldom = Seldom("aiokafka", every_s=5.0)
    assert seldom.filter(record("aiokafka", "no node %s", 1.0))
    assert seldom.filter(record("aiokafka", "no leader %s", 1.0))
    assert seldom.filter(record("services.x", "busy %s", 1.0))
    assert seldom.filter(record("services.x", "busy %s", 1.0))
