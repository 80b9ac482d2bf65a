import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.checks import CheckedInput, InputTensor, check_inputs
from services.gateway.domain.coding import coder_of, encode
from services.gateway.domain.contract import Contract, contract_of
from services.gateway.domain.elements import join
from slipway.spec import parse
from slipway.stats.profile import MISSING, OUTSIDE, FeatureProfile, encode_numeric

NUMERIC = contract_of(
    parse("""
name: numbers
task: regression
features: [{name: a, nullable: true}, {name: b, nullable: true}, {name: c, range: [0, 1]}]
label: {name: y}
""")
)
edges = st.lists(st.floats(-100, 100, width=32), max_size=6, unique=True).map(lambda v: tuple(sorted(v)))
values = st.one_of(st.floats(-120, 120, width=32), st.just(float("nan")))


def checked(rows: list[tuple[float, float]]) -> CheckedInput:
    matrix = np.array([[a, b, 0.5] for a, b in rows], dtype="<f4")
    sent = InputTensor(name="features", datatype="FP32", shape=matrix.shape, raw=matrix.tobytes())
    return check_inputs(NUMERIC, [sent])


def by_feature(
    profiles: list[FeatureProfile], sent: CheckedInput, contract: Contract = NUMERIC
) -> dict[str, bytes]:
    coder = coder_of(contract, profiles)
    return dict(zip(coder.features, map(bytes, encode(coder, sent)), strict=True))


@given(edges, edges, st.lists(st.tuples(values, values), min_size=1, max_size=20))
def test_codes_are_those_of_the_profile(
    a: tuple[float, ...], b: tuple[float, ...], rows: list[tuple[float, float]]
) -> None:
    profiles = [FeatureProfile(feature="a", edges=a), FeatureProfile(feature="b", edges=b)]
    sent = checked(rows)
    codes = by_feature(profiles, sent)
    for column, profile in enumerate(profiles):
        assert codes[profile.feature] == encode_numeric(profile, sent.numbers[:, column]).tobytes()


def test_features_without_a_profile_are_left_out() -> None:
    assert by_feature([], checked([(1, 2)])) == {}


def test_values_outside_the_declared_range_have_their_own_code() -> None:
    matrix = np.array([[np.nan, 0, 2], [0, 0, 0.5]], dtype="<f4")
    sent = InputTensor(name="features", datatype="FP32", shape=(2, 3), raw=matrix.tobytes())
    profiles = [FeatureProfile(feature=name, edges=(0.0,)) for name in "ac"]
    assert by_feature(profiles, check_inputs(NUMERIC, [sent])) == {
        "a": bytes([MISSING, 1]),
        "c": bytes([OUTSIDE, 1]),
    }


def test_categories_are_coded_by_their_place() -> None:
    contract = contract_of(
        parse("""
name: texts
task: regression
features: [{name: city, type: categorical, nullable: true}, {name: other, type: categorical}]
label: {name: y}
""")
    )
    columns = {"city": [b"oslo", b"", b"bonn"], "other": [b"x"] * 3}
    sent = [
        InputTensor(name=name, datatype="BYTES", shape=(3, 1), raw=join(column))
        for name, column in columns.items()
    ]
    profiles = [FeatureProfile(feature="city", categories=("rome", "oslo"))]
    codes = by_feature(profiles, check_inputs(contract, sent), contract)
    assert codes == {"city": bytes([1, MISSING, OUTSIDE])}
