from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.caching import (
    Breaker,
    Form,
    StaleAnswer,
    Trial,
    Window,
    begin,
    is_turnover,
    keys_of,
    pays,
    seal,
    secrets_of,
    unseal,
)
from services.gateway.domain.routing import Arm, Route
from slipway.signature import TensorSpec

SECRETS = secrets_of(b"s" * 64)
ARM = Arm(version="1", digest="d", upstream="inference", role="champion", weight_ppm=1_000_000)


@dataclass(frozen=True, kw_only=True)
class Question:
    form: Form
    columns: tuple[bytes, ...]
    outputs: tuple[str, ...]


FORM = Form(
    tenant="t",
    model="m",
    inputs=(TensorSpec("features", "FP32", (-1, 2)),),
    rows=1,
    parameters={},
)
QUESTION = Question(form=FORM, columns=(b"12345678",), outputs=("label", "probabilities"))


def changed(**fields: Any) -> Question:
    asked = {name: fields.pop(name) for name in ("columns", "outputs") if name in fields}
    return replace(QUESTION, form=replace(FORM, **fields), **asked)


def keys(question: Question = QUESTION, arm: Arm = ARM, secret: bytes = SECRETS.naming) -> Any:
    return keys_of(begin(question.form, secret=secret), question.columns, outputs=question.outputs, arm=arm)


@pytest.mark.parametrize(
    "change",
    [
        {"tenant": "u"},
        {"model": "n"},
        {"inputs": (TensorSpec("feature", "FP32", (-1, 2)),)},
        {"inputs": (TensorSpec("features", "FP64", (-1, 2)),)},
        {"inputs": (TensorSpec("features", "FP32", (-1, 3)),)},
        {"inputs": (TensorSpec("features", "FP32", (-1, 2, 1)),)},
        {"rows": 2},
        {"columns": (b"12345679",)},
        {"columns": (b"1234", b"5678")},
        {"parameters": {"temperature": "0"}},
    ],
)
def test_whatever_can_change_the_answer_changes_the_key(change: dict[str, Any]) -> None:
    other = keys(changed(**change))
    assert other.exact != keys().exact
    assert other.any_version != keys().any_version


def test_other_outputs_are_another_key_of_the_same_question() -> None:
    other = keys(changed(outputs=("label",)))
    assert other.exact != keys().exact
    assert other.any_version == keys().any_version


@pytest.mark.parametrize("change", [{"version": "2"}, {"digest": "e"}, {"upstream": "127.0.0.1:1"}])
def test_another_version_is_another_key_of_the_same_question(change: dict[str, Any]) -> None:
    other = keys(arm=replace(ARM, **change))
    assert other.exact != keys().exact
    assert other.any_version == keys().any_version


@pytest.mark.parametrize("change", [{"role": "canary"}, {"weight_ppm": 1}])
def test_how_an_arm_is_used_does_not_change_its_answer(change: dict[str, Any]) -> None:
    assert keys(arm=replace(ARM, **change)) == keys()


def test_the_order_in_which_outputs_are_asked_for_does_not_change_the_key() -> None:
    assert keys(changed(outputs=("probabilities", "label"))) == keys()


def test_a_key_has_128_bits_and_needs_the_secret() -> None:
    other = keys(secret=secrets_of(b"o" * 64).naming)
    assert len(keys().exact) == len(keys().any_version) == 16
    assert {other.exact, other.any_version}.isdisjoint({keys().exact, keys().any_version})


TEXTS = st.text("ab\0", max_size=3)
BYTES = st.binary(max_size=3)
SPECS = st.builds(TensorSpec, TEXTS, TEXTS, st.lists(st.integers(0, 2), min_size=1, max_size=3).map(tuple))
FORMS = st.builds(
    Form,
    tenant=TEXTS,
    model=TEXTS,
    inputs=st.lists(SPECS, max_size=2).map(tuple),
    rows=st.integers(1, 2),
    parameters=st.dictionaries(TEXTS, TEXTS, max_size=2),
)
QUESTIONS = st.builds(
    Question,
    form=FORMS,
    columns=st.lists(BYTES, max_size=3).map(tuple),
    outputs=st.lists(TEXTS, max_size=2, unique=True).map(sorted).map(tuple),
)
ARMS = st.builds(
    Arm, version=TEXTS, digest=TEXTS, upstream=TEXTS, role=st.just("champion"), weight_ppm=st.just(1)
)


@given(QUESTIONS, QUESTIONS, ARMS, ARMS)
def test_nothing_can_be_moved_from_one_field_to_the_next(a: Any, b: Any, arm: Any, other: Any) -> None:
    first, second = _seen(a), _seen(b)
    is_one_question = replace(first, outputs=()) == replace(second, outputs=())
    assert (keys(first, arm).any_version == keys(second, other).any_version) == is_one_question
    assert (keys(first, arm).exact == keys(second, other).exact) == ((first, arm) == (second, other))


def _seen(question: Question) -> Question:
    """Rows stand in the shapes of the inputs, in place of whatever their first dimension is declared as."""
    inputs = tuple(replace(spec, shape=(-1, *spec.shape[1:])) for spec in question.form.inputs)
    rows = question.form.rows if inputs else 1
    return replace(question, form=replace(question.form, inputs=inputs, rows=rows))


@given(st.text("ab", min_size=2, max_size=6), st.data())
def test_a_text_cut_elsewhere_is_another_question(text: str, data: Any) -> None:
    cuts = st.integers(0, len(text))
    one, two = data.draw(cuts), data.draw(cuts)
    cut = [changed(tenant=text[:at], model=text[at:]) for at in (one, two)]
    assert (keys(cut[0]).exact == keys(cut[1]).exact) == (one == two)


def route(*arms: tuple[str, str]) -> Route:
    found = tuple(replace(ARM, version=version, role=role) for version, role in arms)
    return Route(model="m", epoch=1, salt="s", arms=found)


def test_another_champion_is_a_turnover_and_a_step_of_a_canary_is_not() -> None:
    before = route(("1", "champion"), ("2", "canary"))
    assert not is_turnover(before, route(("1", "champion")))
    assert not is_turnover(before, route(("2", "canary"), ("1", "champion")))
    assert is_turnover(before, route(("2", "champion"), ("1", "standby")))
    assert is_turnover(before, route())


KEY = b"k" * 16
ANSWER = StaleAnswer(version="1", digest="d", outputs=(b"", b"abc"))
SEALED = seal(ANSWER, key=KEY, computed_at_s=5.5, secret=SECRETS.sealing)


@given(
    st.builds(StaleAnswer, version=TEXTS, digest=TEXTS, outputs=st.lists(BYTES, max_size=4).map(tuple)),
    st.floats(0, 2**40),
)
def test_what_was_sealed_is_opened_again(answer: StaleAnswer, at_s: float) -> None:
    sealed = seal(answer, key=KEY, computed_at_s=at_s, secret=SECRETS.sealing)
    assert unseal(sealed, key=KEY, secret=SECRETS.sealing) == (answer, at_s)


@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_a_changed_byte_is_found(at: int, change: int) -> None:
    spoiled = bytearray(SEALED)
    spoiled[at] ^= change
    assert unseal(bytes(spoiled), key=KEY, secret=SECRETS.sealing) is None


@given(st.one_of(st.binary(max_size=60), st.integers(0, len(SEALED) - 1).map(SEALED.__getitem__).map(bytes)))
def test_what_is_not_ours_is_not_opened(value: bytes) -> None:
    assert unseal(value, key=KEY, secret=SECRETS.sealing) is None
    assert unseal(b"SC1" + value, key=KEY, secret=SECRETS.sealing) is None


def test_a_sealed_answer_does_not_open_under_another_key_or_secret() -> None:
    assert unseal(SEALED, key=b"j" * 16, secret=SECRETS.sealing) is None
    assert unseal(SEALED, key=KEY, secret=SECRETS.naming) is None
    for length in range(len(SEALED)):
        assert unseal(SEALED[:length], key=KEY, secret=SECRETS.sealing) is None


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        # 10 of 100 lookups spare 5 ms each: 50 ms for 1 ms of looking up.
        (Window(lookups=100, hits=10, cost_s=0.001, computed=90, compute_s=0.45), True),
        # None spares anything.
        (Window(lookups=100, hits=0, cost_s=0.001, computed=100, compute_s=0.5), False),
        # One hit spares 5 ms; a slow store took 100 ms.
        (Window(lookups=100, hits=1, cost_s=0.1, computed=99, compute_s=0.495), False),
        (Window(lookups=100, hits=100, cost_s=0.1), True),
        (Window(lookups=4, hits=1, cost_s=0.5, computed=2, compute_s=1.0), True),
    ],
)
def test_a_cache_pays_when_it_spares_more_than_it_costs(window: Window, expected: bool) -> None:
    assert pays(window) is expected


GOOD = Window(lookups=10, hits=10, cost_s=0.001)
BAD = Window(lookups=10, cost_s=0.001, computed=10, compute_s=1.0)


def test_a_cold_cache_is_not_judged() -> None:
    trial = Trial(length=10).judged(BAD, now_s=100)
    assert trial.is_on(100)
    assert not trial.judged(BAD, now_s=100).is_on(100)


def test_a_cache_that_does_not_pay_is_tried_again_ever_later() -> None:
    trial, now_s, pauses = Trial(length=10), 0.0, []
    for _ in range(7):
        trial = trial.judged(BAD, now_s=now_s).judged(BAD, now_s=now_s)
        assert not trial.is_on(now_s)
        pauses.append(trial.paused_until_s - now_s)
        now_s = trial.paused_until_s
        assert trial.is_on(now_s)
    assert pauses == [60, 120, 240, 480, 960, 960, 960]


def test_a_cache_that_pays_starts_over_with_the_shortest_pause() -> None:
    trial = Trial(length=10)
    for window in (BAD, BAD, BAD, GOOD, BAD):
        trial = trial.judged(window, now_s=0)
    assert trial.paused_until_s == 60


def test_an_error_opens_the_breaker_and_each_further_one_for_twice_as_long() -> None:
    breaker, now_s, rests = Breaker(), 0.0, []
    for _ in range(7):
        breaker = breaker.failed(now_s)
        assert breaker.is_open
        rests.append(breaker.until_s - now_s)
        now_s = breaker.until_s
    assert rests == [1, 2, 4, 8, 16, 30, 30]


def test_three_slow_lookups_in_a_row_open_the_breaker() -> None:
    twice = Breaker().was_slow(0).was_slow(0)
    assert not twice.is_open
    assert twice.answered() == Breaker()
    assert twice.was_slow(0).is_open


def test_a_late_lookup_changes_nothing_while_it_is_open() -> None:
    opened = Breaker().failed(10)
    assert opened.was_slow(11) is opened
    assert opened.answered() is opened


def test_a_probe_closes_it_on_approval_and_an_answer_in_time_for_good() -> None:
    probed = Breaker().failed(0).failed(1).probed()
    assert not probed.is_open
    assert probed.failed(10).until_s == 14
    assert probed.answered().failed(10).until_s == 11
    assert Breaker().answered() == Breaker()
