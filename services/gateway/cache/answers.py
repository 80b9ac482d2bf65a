"""The answer cache as requests meet it: this process, then the shared store, then one computation for all."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from prometheus_client import Counter

from services.gateway import metrics
from services.gateway.cache.flights import Flights
from services.gateway.cache.ledger import ANSWERS_LENGTH, SHARED_LENGTH, Ledger
from services.gateway.cache.local import LocalTier
from services.gateway.cache.shared import SharedTier
from services.gateway.domain.batching import Columns
from services.gateway.domain.caching import (
    Form,
    Hash,
    Keys,
    StaleAnswer,
    begin,
    is_turnover,
    keys_of,
    seal,
    secrets_of,
    unseal,
)
from services.gateway.domain.contract import Contract
from services.gateway.domain.routing import Route
from services.gateway.records import Prediction
from slipway.clock import Clock
from slipway.signature import Signature

COMPUTED: Final = ""
LOCAL: Final = "local"
SHARED: Final = "shared"
_NONE_PASSED_ON: Final[dict[str, str]] = {}  # a version is sent tensors alone: no parameter reaches it
_NAME: Final = "slipway:1:"
_STALE_NAME: Final = "slipway:1:any:"
_MAX_FORMS: Final = 1024

Compute = Callable[[], Awaitable[Columns]]


@dataclass(slots=True, eq=False, kw_only=True)
class _Book:
    """What is kept per model: metrics, and whether looking up pays."""

    route: Route
    answers: Ledger
    shared: Ledger
    hits: dict[str, Counter]
    misses: Counter


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One request on its way through the tiers."""

    prediction: Prediction
    keys: Keys
    book: _Book
    deadline_s: float
    compute: Compute

    @property
    def contract(self) -> Contract:
        return self.prediction.contract


class AnswerCache:
    """Answers of versions that always answer alike: their spec says `serving.cache_ttl_s` above 0."""

    def __init__(
        self, local: LocalTier, shared: SharedTier | None, *, clock: Clock, secret: bytes, stale_s: float
    ) -> None:
        self._local = local
        self._shared = shared
        self._clock = clock
        self._secrets = secrets_of(secret)
        self._stale_s = stale_s
        self._flights = Flights(clock)
        self._books: dict[str, _Book] = {}
        self._begun: dict[tuple[str, str, int], tuple[Signature, Hash]] = {}
        metrics.CACHE_BYTES.set_function(lambda: local.size_bytes)
        metrics.CACHE_ENTRIES.set_function(lambda: len(local))

    async def answer(
        self,
        prediction: Prediction,
        *,
        route: Route,
        outputs: tuple[str, ...],
        deadline_s: float,
        compute: Compute,
    ) -> tuple[Columns, str]:
        """The answer and where it lay: `local`, `shared`, or empty when it was computed.

        Args:
            prediction: Who asks which arm for what.
            route: The table the arm was chosen by; another champion in it flushes the model.
            outputs: The tensors asked for.
            deadline_s: On the monotonic clock.
            compute: Asks the version. It raises where the version cannot answer, and never falls back:
                what it returns is given to others as this version's answer.
        Raises:
            SlipwayError: Of `compute`; WaitedInVain when the deadline came while an equal one was computed.
        """
        contract = prediction.contract
        if not contract.cache_ttl_s:
            return await compute(), COMPUTED
        book = self._book(route, contract)
        start_s = self._clock.monotonic_s()
        if not book.answers.is_on(start_s) and not contract.keeps_stale:
            return await compute(), COMPUTED
        keys = self._keys(prediction, outputs)
        columns = self._local.get(keys.exact, now_s=start_s, ttl_s=contract.cache_ttl_s)
        now_s = self._clock.monotonic_s()
        book.answers.looked_up(now_s - start_s, now_s=now_s)
        if columns is not None:
            self._hit(book, LOCAL)
            return columns, LOCAL
        asked = _Asked(prediction=prediction, keys=keys, book=book, deadline_s=deadline_s, compute=compute)
        return await self._beyond(asked)

    async def find_stale(self, prediction: Prediction, *, timeout_s: float) -> StaleAnswer | None:
        """An old answer to the same question, for the fallback `cached_answer`; give it as degraded.

        It may be expired, or come from another version of the model, and is at most SLIPWAY_CACHE_STALE_S
        older than `serving.cache_ttl_s` allows. Only models whose spec lists `cached_answer` keep such
        answers. Call it when `answer` has failed; it raises nothing.

        Args:
            prediction: As given to `answer`.
            timeout_s: Time left; it never takes longer than the shared store's budget either.
        Returns:
            All outputs in the order of the signature, whichever are wanted, and the version that gave them;
            None where nothing recent enough is known.
        """
        contract = prediction.contract
        if not contract.keeps_stale:
            return None
        oldest_s = contract.cache_ttl_s + self._stale_s
        question = self._keys(prediction, ()).any_version
        now_s = self._clock.monotonic_s()
        answer, tier = self._local.stale(question, now_s=now_s, oldest_s=oldest_s), LOCAL
        if answer is None and self._shared is not None:
            value = await self._shared.get(_STALE_NAME + question.hex(), deadline_s=now_s + timeout_s)
            found = self._open(value, question, contract=contract, oldest_s=oldest_s)
            answer, tier = found[0] if found else None, SHARED
        if answer is not None:
            metrics.CACHE_STALE.labels(contract.model, tier).inc()
        return answer

    async def _beyond(self, asked: _Asked) -> tuple[Columns, str]:
        """What this process does not know: from the shared store, or computed, once for all who ask."""
        tier = COMPUTED

        async def find() -> Columns:
            nonlocal tier
            columns = await self._ask_shared(asked)
            if columns is None:
                return await self._compute(asked)
            tier = SHARED
            return columns

        columns, is_others = await self._flights.join(
            asked.keys.exact, deadline_s=asked.deadline_s, compute=find
        )
        if is_others:
            self._hit(asked.book, "flight")
            return columns, LOCAL
        return columns, tier

    async def _ask_shared(self, asked: _Asked) -> Columns | None:
        start_s, ledger = self._clock.monotonic_s(), asked.book.shared
        if self._shared is None or not self._shared.is_in_use or not ledger.is_on(start_s):
            return None
        value = await self._shared.get(_NAME + asked.keys.exact.hex(), deadline_s=asked.deadline_s)
        now_s, contract = self._clock.monotonic_s(), asked.contract
        ledger.looked_up(now_s - start_s, now_s=now_s)
        asked.book.answers.waited(now_s - start_s)
        found = self._open(value, asked.keys.exact, contract=contract, oldest_s=contract.cache_ttl_s)
        if found is None:
            return None
        answer, age_s = found
        self._local.put(contract.model, asked.keys, answer, computed_s=now_s - age_s)
        ledger.hit()
        self._hit(asked.book, SHARED)
        return answer.outputs

    async def _compute(self, asked: _Asked) -> Columns:
        asked.book.misses.inc()
        start_s = self._clock.monotonic_s()
        columns = await asked.compute()
        now_s = self._clock.monotonic_s()
        for ledger in (asked.book.answers, asked.book.shared):
            ledger.computed(now_s - start_s)
        arm = asked.prediction.arm
        answer = StaleAnswer(version=arm.version, digest=arm.digest, outputs=columns)
        self._local.put(asked.contract.model, asked.keys, answer, computed_s=now_s)
        self._share(asked, answer)
        return columns

    def _share(self, asked: _Asked, answer: StaleAnswer) -> None:
        shared, keys, contract = self._shared, asked.keys, asked.contract
        if shared is None:
            return
        now_s, ttl_s = self._clock.now_s(), contract.cache_ttl_s
        places = [(_NAME, keys.exact, ttl_s)]
        if contract.keeps_stale:
            places.append((_STALE_NAME, keys.any_version, ttl_s + self._stale_s))
        for prefix, key, keep_s in places:
            value = seal(answer, key=key, computed_at_s=now_s, secret=self._secrets.sealing)
            shared.put(prefix + key.hex(), value, ttl_s=keep_s)

    def _open(
        self, value: bytes | None, key: bytes, *, contract: Contract, oldest_s: float
    ) -> tuple[StaleAnswer, float] | None:
        """A shared value's answer and age, if it is ours, whole and young enough."""
        if value is None:
            return None
        found = unseal(value, key=key, secret=self._secrets.sealing)
        if found is None or len(found[0].outputs) != len(contract.signature.outputs):
            metrics.CACHE_REJECTED.inc()
            return None
        # Another machine's clock may be ahead of ours: what seems to come from the future is new.
        age_s = max(0.0, self._clock.now_s() - found[1])
        return (found[0], age_s) if age_s < oldest_s else None

    def _keys(self, prediction: Prediction, outputs: tuple[str, ...]) -> Keys:
        signature, rows = prediction.contract.signature, prediction.checked.rows
        place = (prediction.caller.tenant, prediction.contract.model, rows)
        known = self._begun.get(place)
        if known is None or known[0] is not signature:
            form = Form(
                tenant=prediction.caller.tenant,
                model=prediction.contract.model,
                inputs=signature.inputs,
                rows=rows,
                parameters=_NONE_PASSED_ON,
            )
            if len(self._begun) >= _MAX_FORMS:
                self._begun.clear()
            known = self._begun[place] = (signature, begin(form, secret=self._secrets.naming))
        return keys_of(known[1], prediction.checked.columns, outputs=outputs, arm=prediction.arm)

    def _book(self, route: Route, contract: Contract) -> _Book:
        """The model's book; a new champion since the last request empties the model's shelf."""
        book = self._books.get(route.model)
        if book is None:
            book = self._books[route.model] = _open_book(route)
        elif route.epoch > book.route.epoch:
            if is_turnover(book.route, route):
                self._turn_over(route.model, contract)
            book.route = route
        return book

    def _turn_over(self, model: str, contract: Contract) -> None:
        if contract.keeps_stale:
            self._local.retire(model)
        else:
            self._local.flush(model)

    def _hit(self, book: _Book, tier: str) -> None:
        book.answers.hit()
        book.hits[tier].inc()


def _open_book(route: Route) -> _Book:
    model = route.model
    return _Book(
        route=route,
        answers=Ledger(ANSWERS_LENGTH, is_paying=metrics.CACHE_PAYING.labels(model, "all")),
        shared=Ledger(SHARED_LENGTH, is_paying=metrics.CACHE_PAYING.labels(model, "shared")),
        hits={tier: metrics.CACHE_HITS.labels(model, tier) for tier in (LOCAL, SHARED, "flight")},
        misses=metrics.CACHE_MISSES.labels(model),
    )
