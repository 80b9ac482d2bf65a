import pytest

from services.rollout.domain.recipe import MAX_CHARACTERS, check_recipe
from slipway.errors import InvalidInput

GOOD = "import os\n\ndef fit(X, y, sample_weight, seed):\n    return None\n"


def test_a_recipe_with_fit_is_taken() -> None:
    check_recipe("recipe.py", GOOD)
    check_recipe("recipe.py", "def fit(X, y, sample_weight=None, *, seed=0, extra=1): ...")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = (", "recipe recipe.py: line 1: "),
        ("x = 1\n", "defines no function `fit`"),
        ("def fit(X, y): ...", r"line 1: fit\(X, y\) must be `def fit\(X, y, sample_weight, seed\)`"),
        ("class A:\n  def fit(X, y, sample_weight, seed): ...", "defines no function"),
        ("a\0b", "line|cannot be read"),
        ("-" * 100_000 + "1", "recipe recipe.py: "),
        ("#" * (MAX_CHARACTERS + 1), "at most"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused(source: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        check_recipe("recipe.py", source)
