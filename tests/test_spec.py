import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import InvalidInput
from slipway.spec import Spec, SpecProblems, parse

SPEC = """\
name: prices
task: binary
features:
  - {name: a, range: [0, 1]}
  - {name: city, type: categorical, categories: [rome, oslo]}
label:
  name: up
  classes: ["0", "1"]
recipe: recipe.py
rollout:
  steps:
    - {weight_percent: 5, min_rows: 60}
    - {weight_percent: 25}
retraining:
  windows: [all]
"""


def problems(text: str) -> list[str]:
    with pytest.raises(SpecProblems) as error:
        parse(text)
    return [str(p) for p in error.value.problems]


def test_reads_what_is_given_and_fills_in_the_rest() -> None:
    spec = parse(SPEC)
    assert spec.feature_names == ("a", "city")
    assert spec.features[0].range == (0, 1)
    assert spec.rollout.steps[1].min_rows == 60
    assert spec.retraining.windows == ("all",)
    assert spec.is_classifier


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("min_rows: 60", "min_row: 60", "line 12: rollout.steps.0.min_row: unknown key; is it `min_rows`?"),
        ("windows: [all]", "zzz: 1", "line 15: retraining.zzz: unknown key; known are windows, "),
        ("task: binary\n", "", "line 1: task: this key is required"),
        ("name: up\n", "nam: up\n", "line 6: label.name: this key is required"),
        ("task: binary", "task: ternary", "line 2: task: Input should be 'binary', 'multiclass' or"),
        ('["0", "1"]', "[0, 1]", "line 8: label.classes.0: must be text; put 0 in quotes"),
        (
            '["0", "1"]',
            "[2024-01-01, '1']",
            "line 8: label.classes.0: must be text; put 2024-01-01 in quotes",
        ),
        ("weight_percent: 25", "weight_percent: 250", "line 13: rollout.steps.1.weight_percent: "),
        (
            "weight_percent: 25",
            "weight_percent: 5",
            "line 13: rollout.steps.1.weight_percent: 5 does not grow",
        ),
        ("name: prices", "name: Prices!", "line 1: name: String should match pattern"),
        ("range: [0, 1]", "range: [0]", "line 4: features.0.range.1: this key is required"),
        ("range: [0, 1]", "range: [0, .nan]", "line 4: features.0.range.1: Input should be a finite number"),
        ("range: [0, 1]", "range: [2, 1]", "line 4: features.0.range: 2 is above 1"),
        ("a, range: [0, 1]", "a, categories: [x]", "line 4: features.0.categories: a numeric feature has"),
        ("categories: [rome, oslo]", "range: [0, 1]", "line 5: features.1.range: a categorical feature has"),
        ("[rome, oslo]", "[]", "line 5: features.1.categories: is empty"),
        ("[rome, oslo]", "[rome, rome]", "line 5: features.1.categories: 'rome' is listed twice"),
        ("{name: city,", "{name: a,", "line 5: features.1.name: 'a' is listed twice"),
        ("name: up", "name: a", "line 7: label.name: 'a' is also a feature"),
        ('["0", "1"]', '["0", "0"]', "line 8: label.classes.1: '0' is listed twice"),
        ('["0", "1"]', '["0"]', "line 8: label.classes: a binary model has 2 classes, not 1"),
        ("task: binary", "task: regression", "line 8: label.classes: a regression model has no classes"),
        ("windows: [all]", "windows: [all, al]", "line 15: retraining.windows.1: "),
        ("windows: [all]", "windows: [all, all]", "line 15: retraining.windows.1: 'all' is listed twice"),
        ("windows: [all]", "max_cool_down_rows: 1", "line 15: retraining.max_cool_down_rows: is less than"),
        ("features:\n", "1: x\nfeatures:\n", "line 3: 1: unknown key"),
    ],
)
def test_each_problem_names_line_and_key(old: str, new: str, expected: str) -> None:
    assert old in SPEC
    found = problems(SPEC.replace(old, new, 1))
    assert any(line.startswith(expected) for line in found), found


def test_all_problems_are_named_at_once() -> None:
    text = SPEC.replace("task: binary", "task: x").replace("label:", "lable:").replace("60", "sixty")
    assert [p.split(":")[0] for p in problems(text)] == ["line 2", "line 1", "line 12", "line 6"]


def test_multiclass_needs_classes() -> None:
    text = SPEC.replace("task: binary", "task: multiclass").replace('  classes: ["0", "1"]\n', "")
    assert problems(text) == ["line 6: label.classes: a multiclass model has 2 classes or more, not 0"]


def test_nothing_retrains_without_a_recipe() -> None:
    text = SPEC.replace("recipe: recipe.py\n", "") + "  automatic: true\n"
    assert problems(text)[0].startswith("line 15: retraining.automatic: a model without a recipe")
    assert parse(text.replace("true", "false")).recipe is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: [", "line 1: not YAML"),
        ("name: a\nname: b\n", "line 2: not YAML: found duplicate key"),
        ("a: 1\n---\nb: 2\n", "line 2: not YAML"),
        ("", "line 1: must be a mapping"),
        ("- name\n", "line 1: must be a mapping"),
        ("a: &x [1]\nb: *x\n", "line 2: aliases are not taken"),
        ("a: " + "[" * 50 + "]" * 50, "line 1: nested deeper than 20 levels"),
        ("#" * (256 * 1024 + 1), "at most 262144 are taken"),
        ("name: \x00", "not YAML"),
    ],
)
def test_what_is_no_mapping_is_refused_before_it_can_grow(text: str, expected: str) -> None:
    with pytest.raises(InvalidInput, match="model spec: ") as error:
        parse(text)
    assert expected in str(error.value)


@settings(deadline=None)
@given(st.text(alphabet="abn:[]{}&*!|>-#,'\"\\ \n\t0123456789%@`?", max_size=200))
def test_any_text_is_a_spec_or_a_named_problem(text: str) -> None:
    with pytest.raises(InvalidInput, match="model spec: "):
        parse(text)


def test_every_section_refuses_unknown_keys() -> None:
    for section in ("serving", "drift", "slo"):
        assert problems(SPEC + f"{section}: {{nonsense: 1}}\n")[0].startswith(f"line 16: {section}.nonsense")
    assert set(Spec.model_fields) >= {"serving", "drift", "slo"}


@pytest.mark.parametrize(
    ("serving", "expected"),
    [
        ("{fallback: [default]}", "serving.fallback: `default` needs `default_answer`"),
        ("{fallback: [cached_answer]}", "serving.fallback: `cached_answer` needs `cache_ttl_s`"),
        (
            "{fallback: [default, default], default_answer: '1'}",
            "serving.fallback.1: 'default' is listed twice",
        ),
        ("{default_answer: '7'}", "serving.default_answer: '7' is none of the classes"),
    ],
)
def test_a_fallback_must_be_able_to_answer(serving: str, expected: str) -> None:
    [problem] = problems(SPEC + f"serving: {serving}\n")
    assert expected in problem


@pytest.mark.parametrize(
    ("serving", "expected"),
    [
        (
            "recording: sometimes",
            "line 17: serving.recording: Input should be 'standard', 'fsync' or 'broker', not 'sometimes'",
        ),
        (
            "when_records_full: drop",
            "line 17: serving.when_records_full: Input should be 'refuse' or 'count', not 'drop'",
        ),
        (
            "when_records_full: count\n  recording: broker",
            "line 17: serving.when_records_full: with `recording: broker` no answer is given",
        ),
    ],
)
def test_how_answers_are_recorded_is_checked(serving: str, expected: str) -> None:
    [problem] = problems(SPEC + f"serving:\n  {serving}\n")
    assert expected in problem
    assert parse(SPEC + "serving: {recording: fsync}\n").serving.when_records_full == "refuse"


def test_the_default_answer_of_a_regression_is_a_number() -> None:
    regression = SPEC.replace("binary", "regression").replace('  classes: ["0", "1"]\n', "")
    assert parse(regression + "serving: {default_answer: 1.5}\n").serving.default_answer == 1.5
    [problem] = problems(regression + "serving: {default_answer: much}\n")
    assert "'much' is not a number" in problem


ROLLOUT = SPEC.replace(
    """\
rollout:
  steps:
    - {weight_percent: 5, min_rows: 60}
    - {weight_percent: 25}
""",
    """\
rollout:
  label_horizon_s: 60
  steps:
    - {kind: shadow, mirror_percent: 20}
    - {weight_percent: 5, rules: [right]}
    - {kind: blue_green}
  rules:
    - {name: right, metric: accuracy, margin: 0.02, slice: {feature: a, range: [0, 0.5]}}
    - {name: pairs, metric: accuracy, paired: true}
""",
)


def test_reads_a_rollout_of_several_kinds_of_steps() -> None:
    rollout = parse(ROLLOUT).rollout
    assert [step.kind for step in rollout.steps] == ["shadow", "canary", "blue_green"]
    assert rollout.rules[0].slice is not None
    assert rollout.rules[0].slice.range == (0, 0.5)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "{kind: shadow, mirror_percent: 20}",
            "{mirror_percent: 20}",
            "line 13: rollout.steps.0.mirror_percent",
        ),
        ("{weight_percent: 5, rules", "{rules", "line 14: rollout.steps.1.weight_percent: is required"),
        ("{kind: blue_green}", "{kind: shadow}", "line 15: rollout.steps.2.kind: shadow comes before users"),
        (
            "- {weight_percent: 5, rules: [right]}",
            "- {kind: blue_green}",
            "line 14: rollout.steps.1.kind: blue_green gives all",
        ),
        (
            "rules: [right]",
            "rules: [wrong]",
            "line 14: rollout.steps.1.rules: 'wrong' is none of the rules (right,",
        ),
        (
            "{kind: blue_green}",
            "{kind: ab, weight_percent: 50}",
            "line 15: rollout.steps.2.metric: an A/B step",
        ),
        (
            "{kind: blue_green}",
            "{kind: ab, weight_percent: 100, metric: cost, better: lower}",
            "line 15: rollout.steps.2.weight_percent: 100 leaves nothing",
        ),
        (
            "{kind: blue_green}",
            "{kind: blue_green, approval: owner}",
            "line 15: rollout.steps.2.approval: belongs to steps of the kind canary or shadow or ab",
        ),
        ("name: pairs", "name: right", "line 18: rollout.rules.1.name: 'right' is listed twice"),
        (
            "accuracy, paired",
            "error_rate, paired",
            "line 18: rollout.rules.1.paired: error_rate has no paired test",
        ),
        ("feature: a,", "feature: b,", "line 17: rollout.rules.0.slice: 'b' is none of the features"),
        ("range: [0, 0.5]}}", "range: [1, 0]}}", "line 17: rollout.rules.0.slice: 1 is above 0"),
        ("range: [0, 0.5]}}", "equals: 1, range: [0, 1]}}", "line 17: rollout.rules.0.slice: needs either"),
        (
            "accuracy, margin",
            "cost, margin",
            "line 17: rollout.rules.0.slice: only accuracy, brier and log_loss",
        ),
        ("label_horizon_s: 60", "alpha: 0.1", "line 17: rollout.rules.0.metric: accuracy of two arms needs"),
        (
            "  - {kind: blue_green}",
            "  - {kind: canary, weight_percent: 4}",
            "line 15: rollout.steps.2.weight_perc",
        ),
    ],
)
def test_each_problem_of_a_rollout_names_line_and_key(old: str, new: str, expected: str) -> None:
    assert old in ROLLOUT
    found = problems(ROLLOUT.replace(old, new, 1))
    assert any(line.startswith(expected) for line in found), found


def test_late_metrics_of_an_ab_step_need_a_horizon() -> None:
    step = "{kind: ab, weight_percent: 50, metric: accuracy, better: higher}"
    text = SPEC.replace("{weight_percent: 25}", step)
    assert problems(text) == ["line 13: rollout.steps.1.metric: accuracy needs `rollout.label_horizon_s`"]


def test_some_metrics_are_for_classifiers() -> None:
    text = ROLLOUT.replace("task: binary", "task: regression").replace('  classes: ["0", "1"]\n', "")
    assert "accuracy is for classifiers" in problems(text)[0]
