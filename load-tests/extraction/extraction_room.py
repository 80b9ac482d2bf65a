"""One model under watch: when a client is suspected, and how good a clone is by then."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from extraction_clients import Client, taken
from extraction_data import Data, Rows
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from services.query_watch.domain.scales import scales_of, to_points
from services.query_watch.domain.watching import Others, Question, Suspicion, Watch, judge, observe
from slipway.stats import density
from slipway.stats.density_score import at_rate, score
from slipway.stats.profile import numeric_profile

WANTED: Final = 0.8
_CHECKPOINTS: Final = (10, 20, 30, 50, 75, 100, 150, 200, 300, 400)
_SCORE_RATE: Final = 0.01  # the spec's default
NOBODY: Final = Others()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What became of one client.

    Attributes:
        alarm_at: Rows asked when the alarm came; 0: none did.
        watch: At the end.
    """

    asked: Rows
    alarm_at: int
    suspicion: Suspicion | None
    watch: Watch


class Room:
    """Watches clients of one model, as the service does."""

    def __init__(self, data: Data) -> None:
        self.data = data
        profile = [numeric_profile(str(at), column) for at, column in enumerate(data.train.T)]
        self._scales = scales_of(profile)
        self._density = at_rate(density.fit(data.train.astype(np.float32)), _SCORE_RATE)

    def watch(self, client: Client, *, most: int, seed: int = 1) -> Seen:
        """Everything a client asks; it goes on after the alarm."""
        return self.watch_rows(taken(client, self.data, seed=seed, most=most))

    def watch_rows(self, rows: Rows) -> Seen:
        """The same for given rows."""
        watch, alarm = Watch(), (0, None)
        found: tuple[int, Suspicion | None] = alarm
        for at, question in enumerate(self._questions(rows), 1):
            watch = observe(watch, question, radius=self._scales.radius, others=NOBODY)
            if not found[0] and (suspicion := judge(watch)):
                found = (at, suspicion)
        return Seen(asked=rows, alarm_at=found[0], suspicion=found[1], watch=watch)

    def agreement(self, asked: Rows) -> float:
        """Share of held-out rows on which the better of two clones answers as the model does."""
        data = self.data
        answers, truth = data.predict(asked), data.predict(data.test)
        if len(np.unique(answers)) < 2:
            return float((truth == answers[0]).mean())
        clones: list[Any] = [LogisticRegression(max_iter=300), RandomForestClassifier(20, random_state=7)]
        unit, test = (asked - data.low) / data.span, (data.test - data.low) / data.span
        return max(float((clone.fit(unit, answers).predict(test) == truth).mean()) for clone in clones)

    def good_after(self, asked: Rows) -> int:
        """Rows after which a clone agrees on 80 %; 0: never."""
        for at in _CHECKPOINTS:
            if at <= len(asked) and self.agreement(asked[:at]) >= WANTED:
                return at
        return 0

    def _questions(self, rows: Rows) -> Iterator[Question]:
        shares = self.data.probabilities(rows)
        ordered = np.sort(shares, axis=1)
        points = to_points(self._scales, rows)
        scores = score(self._density, rows.astype(np.float32))
        for at, point in enumerate(points):
            yield Question(
                point=point,
                answer=int(shares[at].argmax()),
                margin=float(ordered[at, -1] - ordered[at, -2]),
                input_score=float(scores[at]),
            )
