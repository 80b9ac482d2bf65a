"""The steps as plain functions: what a Ray task does, without Ray."""

import numpy as np
import pytest

from services.retraining import training_steps
from services.retraining.step_values import Recipe, TrainingData
from slipway import spec as model_spec
from slipway.errors import InvalidInput
from slipway.onnx_model import OnnxModel

NUMERIC = """
name: m
task: {task}
features: [{{name: a}}, {{name: b, nullable: true}}]
label: {{name: y, classes: [{classes}]}}
"""
MIXED = """
name: m
task: binary
features: [{name: a}, {name: city, type: categorical}, {name: b}]
label: {name: y, classes: ["no", "yes"]}
"""
TREES = """
from sklearn.ensemble import HistGradientBoostingClassifier
def fit(X, y, sample_weight, seed):
    model = HistGradientBoostingClassifier(max_iter=20, random_state=seed)
    return model.fit(X, y, sample_weight=sample_weight)
"""
BY_COLUMN = """
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
def fit(X, y, sample_weight, seed):
    columns = ColumnTransformer([{encode}("scale", StandardScaler(), ["b", "a"])])
    return make_pipeline(columns, LogisticRegression(random_state=seed)).fit(X, y)
"""
ENCODE = '("encode", OneHotEncoder(handle_unknown="ignore"), ["city"]), '


BY_NUMBER = """
import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer
def fit(X, y, sample_weight, seed):
    columns = ColumnTransformer([("power", PowerTransformer(), [1]), ("rest", "passthrough", slice(0, 1))])
    return make_pipeline(columns, LogisticRegression(random_state=seed)).fit(np.asarray(X), np.asarray(y))
"""


def data(rows: int = 600, *, classes: int = 2, cities: bool = False) -> TrainingData:
    rng = np.random.default_rng(1)
    numbers = rng.normal(size=(rows, 2)).astype(np.float32)
    names = rng.choice(np.array(["bern", "zug", ""], dtype=object), size=rows)
    score = numbers[:, 0] + 0.3 * rng.normal(size=rows) + (names == "zug") * cities
    codes = np.clip(np.digitize(score, np.linspace(-1, 1, classes + 1)[1:-1]), 0, classes - 1)
    texts = names.reshape(-1, 1) if cities else np.empty((rows, 0), dtype=object)
    return TrainingData(numbers=numbers, texts=texts, codes=codes.astype(np.int64))


def numeric_spec(classes: str = '"0", "1"', task: str = "binary") -> str:
    return NUMERIC.format(classes=classes, task=task)


def recipe(source: str, spec_yaml: str | None = None) -> Recipe:
    return Recipe(source=source, spec_yaml=spec_yaml or numeric_spec(), seed=3)


@pytest.mark.parametrize(
    ("spec_yaml", "source", "it"),
    [
        (numeric_spec(), TREES, data()),
        (numeric_spec('"low", "high"'), TREES, data()),
        (numeric_spec('"z", "m", "a"', "multiclass"), TREES, data(classes=3)),
        (numeric_spec(), BY_COLUMN.format(encode=""), data()),
        (numeric_spec(), BY_NUMBER, data()),
        (MIXED, BY_COLUMN.format(encode=ENCODE), data(cities=True)),
    ],
)
def test_the_registered_model_answers_like_the_estimator(
    spec_yaml: str, source: str, it: TrainingData
) -> None:
    made = training_steps.refit_and_export(it, recipe(source, spec_yaml), window=(100, 600))
    spec = model_spec.parse(spec_yaml)
    answers = training_steps.fit_and_answer(
        it, recipe(source, spec_yaml), window=(0, 400), holdout=(400, 600)
    )
    assert np.mean(answers.predicted == it.codes[400:]) > 0.6
    champion = training_steps.answer_with_champion(it, spec_yaml, onnx=made.onnx, holdout=(0, 600))
    assert np.mean(champion.predicted == it.codes) > 0.6
    assert champion.probabilities.shape == (600, len(spec.label.classes))
    assert (champion.probabilities.argmax(axis=1) == champion.predicted).all()
    assert (made.parity.rows, made.parity.label_mismatches) == (600, 0)
    assert sum(made.predicted_counts) == 500
    assert [p.feature for p in made.profiles] == list(spec.feature_names)
    assert sum(made.profiles[0].counts) == 500
    labels = OnnxModel(made.onnx, spec).predict(OnnxModel(made.onnx, spec).probe())["label"]
    assert set(labels) <= set(spec.label.classes)


def test_missing_numbers_are_learned_where_the_recipe_can() -> None:
    it = data()
    it.numbers[::7, 1] = np.nan
    made = training_steps.refit_and_export(it, recipe(TREES), window=(0, 600))
    assert made.profiles[1].missing == 86


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("x = 1", "defines no function fit"),
        ("def fit(X, y, sample_weight, seed): return 5", "returned a int, which has no predict"),
        (
            "from sklearn.linear_model import LogisticRegression\n"
            "def fit(X, y, sample_weight, seed): return LogisticRegression().fit(X, y + 1)",
            r"knows the class codes \[1, 2\]",
        ),
        (
            "class Odd:\n"
            "    def predict(self, X): return [0] * len(X)\n"
            "    def predict_proba(self, X): return [[2.0, 2.0]] * len(X)\n"
            "def fit(X, y, sample_weight, seed): return Odd()",
            "not probabilities",
        ),
        (
            "class Odd:\n"
            "    def predict(self, X): return [0] * len(X)\n"
            "    def predict_proba(self, X): return [[1.0]] * len(X)\n"
            "def fit(X, y, sample_weight, seed): return Odd()",
            r"gives shape \(200, 1\), wanted is \(200, 2\)",
        ),
    ],
)
def test_nonsense_of_a_recipe_is_named(source: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        training_steps.fit_and_answer(data(), recipe(source), window=(0, 400), holdout=(400, 600))


def test_what_a_recipe_raises_points_at_its_line() -> None:
    source = "def fit(X, y, sample_weight, seed):\n    return X['nope']\n"
    with pytest.raises(KeyError) as caught:
        training_steps.fit_and_answer(data(), recipe(source), window=(0, 400), holdout=(400, 600))
    assert any(
        entry.path == "recipe.py" or str(entry.path).endswith("recipe.py") for entry in caught.traceback
    )


def test_a_recipe_cannot_change_the_rows_of_the_next_one() -> None:
    it = data()
    before = it.numbers.copy()
    source = TREES.replace("    model =", "    X['a'] = 0; y[:] = 0; y.iloc[:9] = 1\n    model =", 1)
    training_steps.fit_and_answer(it, recipe(source), window=(0, 400), holdout=(400, 600))
    assert (it.numbers == before).all()
    assert (it.codes == data().codes).all()


def test_a_model_that_drifts_from_its_estimator_is_refused() -> None:
    source = (
        "from sklearn.linear_model import LogisticRegression\n"
        "class Sly(LogisticRegression):\n"
        "    def predict_proba(self, X): return super().predict_proba(X) * 0.5 + 0.25\n"
        "def fit(X, y, sample_weight, seed):\n"
        "    model = Sly().fit(X, y)\n"
        "    return model\n"
    )
    with pytest.raises((InvalidInput, RuntimeError), match=r"does not repeat|shape calculator"):
        training_steps.refit_and_export(data(), recipe(source), window=(0, 600))
