import pytest

from services.rollout.domain.spec_change import check_same_signature
from slipway import spec
from slipway.errors import Conflict

YAML = """
name: m
task: binary
features: [{name: a}, {name: b, type: categorical}]
label: {name: y, classes: ["0", "1"]}
"""


def test_everything_but_the_signature_may_change() -> None:
    changed = YAML.replace("{name: a}", "{name: a, range: [0, 1], nullable: true}") + "owner: me\n"
    check_same_signature(spec.parse(YAML), spec.parse(changed))


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("{name: a}, {name: b, type: categorical}", "{name: b, type: categorical}, {name: a}", "features"),
        ("{name: a}", "{name: a, type: categorical}", "features"),
        ("{name: a}, ", "", "features"),
        ('["0", "1"]', '["1", "0"]', "label.classes"),
        ("task: binary", "task: multiclass", "task was binary and is multiclass"),
    ],
)
def test_a_new_signature_is_a_new_model_name(old: str, new: str, what: str) -> None:
    with pytest.raises(Conflict, match=rf"m: {what}.*a new signature is a new model name"):
        check_same_signature(spec.parse(YAML), spec.parse(YAML.replace(old, new)))


def test_a_long_list_is_cut_in_the_message() -> None:
    many = ", ".join(f"{{name: feature_{i}}}" for i in range(100))
    wide = YAML.replace("{name: a}", many)
    with pytest.raises(Conflict) as refusal:
        check_same_signature(spec.parse(YAML), spec.parse(wide))
    assert len(str(refusal.value)) < 600
