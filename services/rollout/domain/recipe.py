"""Whether a recipe can be a recipe: it is read here, never run."""

import ast
from typing import Final

from slipway.errors import InvalidInput

MAX_CHARACTERS: Final = 256 * 1024
PARAMETERS: Final = ("X", "y", "sample_weight", "seed")
_SHAPE: Final = f"def fit({', '.join(PARAMETERS)})"


def check_recipe(name: str, source: str) -> None:
    """Refuse a recipe that cannot work.

    Args:
        name: The spec's `recipe`, for the message.
        source: Its Python source.
    Raises:
        InvalidInput: Too long, not Python, or without a `fit` that takes the four arguments.
    """
    if len(source) > MAX_CHARACTERS:
        raise InvalidInput(f"recipe {name}: {len(source)} characters; at most {MAX_CHARACTERS} are taken")
    fit = _find_fit(name, _parse(name, source))
    taken = [a.arg for a in (*fit.args.posonlyargs, *fit.args.args, *fit.args.kwonlyargs)]
    if tuple(taken[: len(PARAMETERS)]) != PARAMETERS:
        raise InvalidInput(f"recipe {name}: line {fit.lineno}: fit({', '.join(taken)}) must be `{_SHAPE}`")


def _parse(name: str, source: str) -> ast.Module:
    try:
        return ast.parse(source, filename=name)
    except SyntaxError as error:
        raise InvalidInput(f"recipe {name}: line {error.lineno}: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise InvalidInput(f"recipe {name}: cannot be read as Python: {error}") from error


def _find_fit(name: str, module: ast.Module) -> ast.FunctionDef:
    for node in module.body:
        if isinstance(node, ast.FunctionDef) and node.name == "fit":
            return node
    raise InvalidInput(f"recipe {name}: defines no function `fit`; it needs `{_SHAPE}`")
