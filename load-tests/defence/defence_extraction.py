"""At which agreement of a clone the alarm comes, and which honest callers raise one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from defence_clients import HONEST, THIEVES, Client
from defence_data import Data, Labels, Rows, elec2
from defence_models import Served, fit
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from services.query_watch.domain.scales import Scales, scales_of, to_points
from services.query_watch.domain.watching import Others, Question, Suspicion, Watch, judge, observe
from slipway.stats import density
from slipway.stats.density_score import DensityModel
from slipway.stats.density_score import score as density_score
from slipway.stats.profile import numeric_profile

WANTED: Final = 0.8
_CHECKPOINTS: Final = (10, 20, 30, 50, 100, 200, 300, 600)
NOBODY: Final = Others()
_TRAINED: Final = 4032
_LATER: Final = 40_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What became of one client.

    Attributes:
        alarm_at: Rows asked when the alarm came; 0: none did.
        agreement: Of the best clone with the model on held-out rows, at the alarm, or at the end.
        wanted_at: Rows after which a clone agrees on 80 %; 0: never.
    """

    client: str
    asked: int
    alarm_at: int
    suspicion: Suspicion | None
    agreement: float
    wanted_at: int


class Room:
    """Watches clients of one model, as the service does."""

    def __init__(
        self, data: Data, served: Served, density: DensityModel | None, *, others: Others = NOBODY
    ) -> None:
        self.served = served
        self.density = density
        self._data = data
        self._others = others
        profile = [numeric_profile(str(at), column) for at, column in enumerate(data.train.T)]
        self._scales: Scales = scales_of(profile)

    def questions(self, rows: Rows) -> Iterator[Question]:
        """Rows as the watch sees them, with what was answered."""
        shares = self.served.probabilities(rows)
        ordered = np.sort(shares, axis=1)
        points = to_points(self._scales, rows)
        scores = None if self.density is None else density_score(self.density, rows)
        for at, point in enumerate(points):
            yield Question(
                point=point,
                answer=int(shares[at].argmax()),
                margin=float(ordered[at, -1] - ordered[at, -2]),
                input_score=None if scores is None else float(scores[at]),
            )

    def others(self, rows: Rows) -> Others:
        """What one honest caller who asked these rows is to the others."""
        watch = Watch()
        for question in self.questions(rows):
            watch = observe(watch, question, radius=self._scales.radius, others=NOBODY)
        return Others(
            asked={kind: float(share.asked) for kind, share in watch.shares.items()},
            found={kind: float(share.found) for kind, share in watch.shares.items()},
        )

    def watch(self, client: Client, *, most: int, seed: int = 1) -> tuple[Rows, int, Suspicion | None]:
        """What a client asked, and when it was suspected first."""
        alarm: tuple[int, Suspicion | None] = (0, None)
        watch, asked = Watch(), list[Rows]()
        for rows in client(self._data, self.served, seed):
            asked += list(rows)
            for question in self.questions(rows):
                watch = observe(watch, question, radius=self._scales.radius, others=self._others)
            if not alarm[0] and (suspicion := judge(watch)):
                alarm = (len(asked), suspicion)
            if len(asked) >= most:
                break
        return np.array(asked), *alarm


def honest(room: Room, *, most: int) -> list[Watched]:
    """Callers of whom none should be suspected."""
    return [_watched(room, name, client, most=most) for name, client in HONEST.items()]


def thieves(room: Room, data: Data, served: Served, *, most: int) -> list[Watched]:
    """Callers who build a clone from the answers."""
    found = []
    for name, client in THIEVES.items():
        asked, alarm_at, suspicion = room.watch(client, most=most)
        at = alarm_at or len(asked)
        found.append(
            Watched(
                client=name,
                asked=len(asked),
                alarm_at=alarm_at,
                suspicion=suspicion,
                agreement=agreement(data, served, asked[:at]),
                wanted_at=_first_good(data, served, asked),
            )
        )
    return found


def _watched(room: Room, name: str, client: Client, *, most: int) -> Watched:
    asked, alarm_at, suspicion = room.watch(client, most=most)
    return Watched(
        client=name,
        asked=len(asked),
        alarm_at=alarm_at,
        suspicion=suspicion,
        agreement=float("nan"),
        wanted_at=0,
    )


def drifting(kind: str, *, most: int) -> list[Watched]:
    """Honest callers of a model of Elec2 whose world has moved on, alone and beside others."""
    rows, labels = elec2()
    data = _elec2_data(rows, labels)
    room = Room(data, fit(data, kind), density.fit(data.train))
    later = rows[_LATER : _LATER + most]
    anywhere = np.random.default_rng(7).permutation(rows[_TRAINED:])[:most]
    callers = {
        "Elec2, the rows after training": rows[_TRAINED : _TRAINED + most],
        "Elec2, two years later": later,
        "Elec2, later years, shuffled": anywhere,
    }
    found = [_watched(room, name, _asking(asked), most=most) for name, asked in callers.items()]
    beside = room.others(np.random.default_rng(8).permutation(rows[_TRAINED:])[:500])
    room = Room(data, room.served, room.density, others=beside)
    for name, asked in callers.items():
        found.append(_watched(room, f"{name}; one other caller", _asking(asked), most=most))
    return found


def _asking(rows: Rows) -> Client:
    return lambda *_: iter(rows[:, None])


def _elec2_data(rows: Rows, labels: Labels) -> Data:
    return Data(
        name="elec2",
        train=rows[:_TRAINED],
        train_labels=labels[:_TRAINED],
        calibration=rows[:10],
        calibration_labels=labels[:10],
        test=rows[:10],
        test_labels=labels[:10],
        other=rows[:10],
    )


def agreement(data: Data, served: Served, asked: Rows) -> float:
    """Share of held-out rows on which the better of two clones answers as the model does."""
    answers, truth = served.predict(asked), served.predict(data.test)
    if len(np.unique(answers)) < 2:
        return float((truth == answers[0]).mean())
    clones: list[Any] = [
        LogisticRegression(max_iter=300),
        RandomForestClassifier(60, random_state=7, n_jobs=1),
    ]
    unit, test = served.to_unit(asked), served.to_unit(data.test)
    return max(float((clone.fit(unit, answers).predict(test) == truth).mean()) for clone in clones)


def _first_good(data: Data, served: Served, asked: Rows) -> int:
    for at in _CHECKPOINTS:
        if at <= len(asked) and agreement(data, served, asked[:at]) >= WANTED:
            return at
    return 0
