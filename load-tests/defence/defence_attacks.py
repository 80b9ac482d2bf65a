"""Attacks: three of adversarial-robustness-toolbox, and one written here that knows the detector."""

import warnings
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from art.attacks.evasion import HopSkipJump, ZooAttack
from art.attacks.evasion.projected_gradient_descent.projected_gradient_descent_numpy import (
    ProjectedGradientDescentNumpy,
)
from art.estimators import BaseEstimator, LossGradientsMixin
from art.estimators.classification import BlackBoxClassifier
from art.estimators.classification.classifier import ClassifierMixin
from defence_data import Rows
from defence_models import Served

Score = Callable[[Rows], Rows]

EPSILON: Final = 0.1  # how far a feature may move, of its range in training
SUSPICIOUS: Final = 0.9  # where the adaptive attacker turns back: below 1, which is the threshold


class _Differentiable(ClassifierMixin, LossGradientsMixin, BaseEstimator):  # type: ignore[misc]
    """What PGD needs to know of a model."""

    estimator_params = (*BaseEstimator.estimator_params, "nb_classes")

    def __init__(self, served: Served, *, width: int, classes: int) -> None:
        super().__init__(model=served, clip_values=(0.0, 1.0))
        self._served = served
        self._width = width
        self.nb_classes = classes

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self._width,)

    def predict(self, x: Any, **_: Any) -> Any:
        return self._served.probabilities(self._served.from_unit(x))

    def loss_gradient(self, x: Any, y: Any, **_: Any) -> Any:
        return self._served.loss_gradient(x, np.asarray(y).argmax(axis=1)).astype(np.float32)

    def fit(self, *_: Any, **__: Any) -> None:
        raise NotImplementedError


def hop_skip_jump(served: Served, rows: Rows, *, classes: int, effort: float = 1.0) -> Rows:
    """Chen, Jordan, Wainwright: HopSkipJumpAttack, IEEE S&P 2020: only the answered class is seen."""
    attack = HopSkipJump(
        _black_box(served, rows.shape[1], classes),
        max_iter=max(1, round(20 * effort)),
        max_eval=round(1000 * effort) + 10,
        init_eval=50,
        verbose=False,
    )
    return _attacked(served, rows, attack.generate)


def zoo(served: Served, rows: Rows, *, classes: int, effort: float = 1.0) -> Rows:
    """Chen, Zhang, Sharma, Yi, Hsieh: ZOO, AISec 2017: probabilities, one coordinate at a time."""
    attack = ZooAttack(
        _black_box(served, rows.shape[1], classes),
        max_iter=max(2, round(60 * effort)),
        learning_rate=0.05,
        binary_search_steps=3,
        initial_const=1.0,
        use_resize=False,
        use_importance=False,
        nb_parallel=min(16, rows.shape[1]),
        variable_h=0.05,
        verbose=False,
    )
    return _attacked(served, rows, attack.generate)


def pgd(served: Served, rows: Rows, *, classes: int, effort: float = 1.0) -> Rows:
    """Madry, Makelov, Schmidt, Tsipras, Vladu: Towards deep learning models resistant..., ICLR 2018."""
    attack = ProjectedGradientDescentNumpy(
        _Differentiable(served, width=rows.shape[1], classes=classes),
        eps=EPSILON,
        eps_step=EPSILON / 8,
        max_iter=max(5, round(40 * effort)),
        verbose=False,
    )
    return _attacked(served, rows, attack.generate)


def adaptive(served: Served, rows: Rows, *, score: Score, effort: float = 1.0) -> Rows:
    """Fools the model and stays below the detector's threshold: he knows both, and obeys both gradients.

    After Carlini, Wagner: Adversarial examples are not easily detected, AISec 2017: model and detector.
    Twice as far as PGD may go, as being quiet costs distance.
    """
    start = served.to_unit(rows)
    labels = served.predict(rows)
    here, best = start.copy(), start.copy()
    for _ in range(max(5, round(80 * effort))):
        loss = served.loss_gradient(here, labels)
        loud = score(served.from_unit(here)) > SUSPICIOUS
        step = np.sign(loss)
        if loud.any():
            step[loud] = 0.5 * step[loud] - np.sign(_slope(served, here[loud], score))
        here = np.clip(here + EPSILON / 10 * step, start - 2 * EPSILON, start + 2 * EPSILON).clip(0, 1)
        asked = served.from_unit(here)
        won = (served.predict(asked) != labels) & (score(asked) <= 1)
        best[won] = here[won]
    missed = (served.predict(served.from_unit(best)) == labels)[:, None]
    return served.from_unit(np.where(missed, here, best))


def _slope(served: Served, unit: Rows, score: Score) -> Rows:
    """Gradient of the detector's score by differences, a feature at a time."""
    step, slope = 0.02, np.zeros_like(unit)
    for feature in range(unit.shape[1]):
        ahead, behind = unit.copy(), unit.copy()
        ahead[:, feature] += step
        behind[:, feature] -= step
        slope[:, feature] = score(served.from_unit(ahead)) - score(served.from_unit(behind))
    return slope


def _black_box(served: Served, width: int, classes: int) -> Any:
    def predict(unit: Any) -> Any:
        return served.probabilities(served.from_unit(unit))

    return BlackBoxClassifier(predict, (width,), classes, clip_values=(0.0, 1.0))


def _attacked(served: Served, rows: Rows, generate: Callable[..., Any]) -> Rows:
    unit = served.to_unit(rows).clip(0, 1).astype(np.float32)
    labels = np.eye(served.probabilities(rows[:1]).shape[1], dtype=np.float32)[served.predict(rows)]
    np.random.seed(7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return served.from_unit(generate(x=unit, y=labels))
