from slipway.signature import TensorSpec, signature_of
from slipway.spec import parse

SPEC = """
name: m
task: {task}
features: [{{name: a}}, {{name: b{kind}}}]
label: {{name: y{classes}}}
"""


def test_numeric_features_share_one_tensor() -> None:
    spec = parse(SPEC.format(task="binary", kind="", classes=', classes: ["0", "1"]'))
    signature = signature_of(spec)
    assert signature.inputs == (TensorSpec("features", "FP32", (-1, 2)),)
    assert signature.outputs == (
        TensorSpec("label", "BYTES", (-1,)),
        TensorSpec("probabilities", "FP32", (-1, 2)),
    )


def test_a_category_gives_each_feature_its_own_tensor() -> None:
    spec = parse(SPEC.format(task="regression", kind=", type: categorical", classes=""))
    signature = signature_of(spec)
    assert [(t.name, t.datatype) for t in signature.inputs] == [("a", "FP32"), ("b", "BYTES")]
    assert signature.outputs == (TensorSpec("value", "FP32", (-1,)),)
