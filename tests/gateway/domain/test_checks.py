from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from services.gateway.domain.checks import CheckedInput, InputTensor, check_inputs, check_outputs
from services.gateway.domain.contract import Contract, contract_of
from services.gateway.domain.elements import join
from slipway.errors import InvalidInput
from slipway.spec import Spec, parse

NUMERIC = parse("""
name: numbers
task: binary
features:
  - {name: a, range: [0, 0.1]}
  - {name: b, nullable: true}
label: {name: y, classes: ["0", "1"]}
serving: {max_batch_rows: 4}
""")
MIXED = parse("""
name: mixed
task: regression
features:
  - {name: age}
  - {name: city, type: categorical, categories: [rome, oslo]}
  - {name: note, type: categorical, nullable: true}
label: {name: y}
""")


def tensor(name: str, shape: Sequence[int], raw: bytes, datatype: str = "FP32") -> InputTensor:
    return InputTensor(name=name, datatype=datatype, shape=tuple(shape), raw=raw)


def features(rows: Any, name: str = "features") -> InputTensor:
    array = np.array(rows, dtype="<f4")
    return tensor(name, array.shape, array.tobytes())


def texts(name: str, values: list[bytes]) -> InputTensor:
    return tensor(name, (len(values), 1), join(values), "BYTES")


def check(spec: Spec, *tensors: InputTensor) -> CheckedInput:
    return check_inputs(contract_of(spec), tensors)


def refusing(spec: Spec) -> Contract:
    serving = spec.serving.model_copy(update={"refuse_out_of_range": True})
    return contract_of(spec.model_copy(update={"serving": serving}))


def test_takes_a_good_request_without_copying() -> None:
    sent = features([[0.05, 1], [0.1, np.nan]])
    checked = check(NUMERIC, sent)
    assert checked.rows == 2
    assert checked.columns == (sent.raw,)
    assert checked.columns[0] is sent.raw
    assert checked.flags == ()
    assert checked.outside is None


@pytest.mark.parametrize(
    ("tensors", "why"),
    [
        ([], "input features is missing"),
        ([features([[0, 1]], "feature")], "'feature' is not an input of the model; it takes features"),
        ([features([[0, 1]]), features([[0, 1]])], "'features' is sent twice"),
        ([tensor("features", (1, 2), b"\0" * 16, "FP64")], "datatype 'FP64', but the model takes FP32"),
        ([tensor("features", (), b"")], "0 rows"),
        ([tensor("features", (0, 2), b"")], "0 rows .*; send 1 to 4"),
        ([features(np.zeros((5, 2)))], "5 rows in shape .*; send 1 to 4"),
        ([tensor("features", (-1, 2), b"")], "-1 rows"),
        ([features([[0, 1, 2]])], r"shape \[1, 3\], but \[1, 2\] is needed for 1 rows"),
        ([features([0, 1])], r"shape \[2\], but \[2, 2\]"),
        ([tensor("features", (2, 2), b"\0" * 15)], r"15 bytes, but FP32 \[2, 2\] needs 16"),
        ([features([[0, 1], [np.nan, 1]])], "'features': feature 'a' in row 1 is NaN, and .* not nullable"),
        ([features([[0, 1], [0, np.inf]])], "'features': feature 'b' in row 1 is infinite"),
    ],
)
def test_names_what_is_wrong_with_numbers(tensors: list[InputTensor], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        check(NUMERIC, *tensors)


def mixed(age: Any = ((30.0,), (40.0,)), city: Any = (b"rome", b"oslo"), note: Any = (b"", b"x")) -> Any:
    return [features(age, "age"), texts("city", list(city)), texts("note", list(note))]


def test_takes_one_tensor_per_feature_in_any_order() -> None:
    sent = mixed()
    checked = check(MIXED, *reversed(sent))
    assert checked.columns == tuple(t.raw for t in sent)
    assert checked.numbers.tolist() == [[30.0], [40.0]]
    assert checked.texts == {"city": ["rome", "oslo"], "note": ["", "x"]}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"age": ((30.0,), (np.nan,))}, "input 'age': feature 'age' in row 1 is NaN"),
        ({"city": (b"rome", b"\xff")}, "feature 'city' in row 1 is not UTF-8"),
        ({"city": (b"", b"oslo")}, "feature 'city' in row 0 is empty, and the feature is not nullable"),
        ({"city": (b"rome",)}, r"input 'city': shape \[1, 1\], but \[2, 1\]"),
    ],
)
def test_names_what_is_wrong_with_columns(change: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        check(MIXED, *mixed(**change))


def test_counts_the_elements_of_texts() -> None:
    sent = mixed()
    sent[1] = tensor("city", (2, 1), join([b"rome"]), "BYTES")
    with pytest.raises(InvalidInput, match="8 bytes do not hold 2 length-prefixed elements"):
        check(MIXED, *sent)


def test_flags_what_leaves_its_range_and_unknown_categories() -> None:
    checked = check(NUMERIC, features([[0.05, 1], [0.11, 1], [-1, 1]]))
    assert checked.flags == ("out_of_range:a",)
    assert checked.outside is not None
    assert checked.outside.tolist() == [[False, False], [True, False], [True, False]]
    assert check(MIXED, *mixed(city=(b"rome", b"bonn"))).flags == ("unknown_category:city",)


def test_refuses_them_where_the_spec_says_so() -> None:
    with pytest.raises(InvalidInput, match="out_of_range:a"):
        check_inputs(refusing(NUMERIC), [features([[0.2, 1]])])
    assert check_inputs(refusing(NUMERIC), [features([[0.1, 1]])]).flags == ()


def test_an_empty_text_may_be_a_declared_category() -> None:
    city = MIXED.features[1].model_copy(update={"categories": ("", "rome")})
    spec = MIXED.model_copy(update={"features": (MIXED.features[0], city, MIXED.features[2])})
    assert check(spec, *mixed(city=(b"", b"rome"))).flags == ()


def test_outputs_are_those_asked_for_or_all() -> None:
    contract = contract_of(NUMERIC)
    assert check_outputs(contract, ()) == ("label", "probabilities")
    assert check_outputs(contract, ("probabilities",)) == ("probabilities",)
    with pytest.raises(InvalidInput, match="'score' does not exist; 'numbers' answers label, probabilities"):
        check_outputs(contract, ("score",))
    with pytest.raises(InvalidInput, match="twice"):
        check_outputs(contract, ("label", "label"))
