"""Several rules, one promise: a harmless version is taken back with probability alpha at most."""

from collections.abc import Mapping
from math import log

from slipway.errors import InvalidInput


def split_alpha(alpha: float, weights: Mapping[str, float]) -> dict[str, float]:
    """Each rule's part of alpha.

    Args:
        alpha: For all rules together, in (0, 1).
        weights: Per rule, > 0; equal weights give equal parts.
    Formula: alpha_i = alpha w_i / sum(w): the union bound, whatever binds the metrics together.
    Source: Bonferroni, Teoria statistica delle classi e calcolo delle probabilita, 1936.
    Raises:
        InvalidInput: Alpha or a weight out of range.
    """
    if not 0 < alpha < 1:
        raise InvalidInput(f"alpha {alpha}: must lie within (0, 1)")
    for name, weight in weights.items():
        if not 0 < weight < float("inf"):
            raise InvalidInput(f"weight {weight} of rule {name!r}: must be a positive number")
    total = sum(weights.values())
    return {name: alpha * weight / total for name, weight in weights.items()}


def is_rejected(log_e: float, *, alpha: float) -> bool:
    """Whether the evidence suffices: E >= 1 / alpha, at whatever moment one looks (Ville, 1939)."""
    return log_e >= -log(alpha)
