"""What makes two requests the same question, how an answer is sealed for others, and whether that pays."""

import hashlib
import hmac
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from services.gateway.domain.batching import Columns
from services.gateway.domain.routing import Arm, Route
from slipway.signature import TensorSpec

KEY_BYTES: Final = 16
Hash = hashlib.blake2b
_LENGTH: Final = struct.Struct("<Q")
_SHAPE: Final = struct.Struct("<q")
# Format 1: mark, code over all that follows and the key it stands under, time of computing, count and
# sizes of the parts; then version, digest and each output.
_MARK: Final = b"SC1"
_TIME: Final = struct.Struct("<d")
_COUNT: Final = struct.Struct("<I")
_HEADER_BYTES: Final = len(_MARK) + KEY_BYTES + _TIME.size + _COUNT.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Two keys of one secret: neither a question's key nor a sealed answer can be made without it."""

    naming: bytes
    sealing: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What is asked but for the values, as far as it can change the answer: never id, unit or headers."""

    tenant: str
    model: str
    inputs: tuple[TensorSpec, ...]
    rows: int
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Under which an answer is found: by version and outputs asked for, or by neither."""

    exact: bytes
    any_version: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleAnswer:
    """An earlier answer to the same question, all its outputs, and the version that gave it."""

    version: str
    digest: str
    outputs: Columns


def secrets_of(secret: bytes) -> Secrets:
    """The cache's keys from a secret that also serves others."""
    return Secrets(naming=_derive(secret, b"slipway.naming"), sealing=_derive(secret, b"slipway.sealing"))


def begin(form: Form, *, secret: bytes) -> Hash:
    """A hash over the form, from which the keys of all requests of that form go on.

    128-bit keyed BLAKE2b of everything that can change the answer. Each field goes in behind its length, each
    list behind its count: no byte can move from one field to the next without changing the hash. Source:
    Saarinen, Aumasson, RFC 7693 (2015), keyed mode.
    """
    begun = hashlib.blake2b(digest_size=KEY_BYTES, key=secret, person=b"question")
    begun.update(b"".join(_fields(form)))
    return begun


def keys_of(begun: Hash, columns: Columns, *, outputs: tuple[str, ...], arm: Arm) -> Keys:
    """The keys of one request: by its values, then by the outputs asked for and the version as well."""
    whole = begun.copy()
    whole.update(struct.pack(f"<{len(columns) + 1}Q", len(columns), *map(len, columns)) + b"".join(columns))
    any_version = whole.digest()
    whole.update(_asked(outputs, arm.version, arm.digest, arm.upstream))
    return Keys(exact=whole.digest(), any_version=any_version)


def is_turnover(before: Route, after: Route) -> bool:
    """Whether users get another version than before: a promotion or a rollback, not a step of a canary."""
    return _champions(before) != _champions(after)


def seal(answer: StaleAnswer, *, key: bytes, computed_at_s: float, secret: bytes) -> bytes:
    """An answer for a store that others can write to, bound to the key it stands under."""
    parts = (answer.version.encode(), answer.digest.encode(), *answer.outputs)
    sizes = struct.pack(f"<{len(parts)}I", *map(len, parts))
    body = b"".join((_TIME.pack(computed_at_s), _COUNT.pack(len(parts)), sizes, *parts))
    return _MARK + _code(body, key=key, secret=secret) + body


def unseal(value: bytes, *, key: bytes, secret: bytes) -> tuple[StaleAnswer, float] | None:
    """The answer and when it was computed; None for whatever we did not seal under this key."""
    if len(value) < _HEADER_BYTES or not value.startswith(_MARK):
        return None
    code, body = value[len(_MARK) : len(_MARK) + KEY_BYTES], value[len(_MARK) + KEY_BYTES :]
    if not hmac.compare_digest(code, _code(body, key=key, secret=secret)):
        return None
    (computed_at_s,) = _TIME.unpack_from(body)
    (count,) = _COUNT.unpack_from(body, _TIME.size)
    at = _TIME.size + _COUNT.size
    sizes = struct.unpack_from(f"<{count}I", body, at)
    version, digest, *outputs = _cut(body, sizes, start=at + 4 * count)
    answer = StaleAnswer(version=version.decode(), digest=digest.decode(), outputs=tuple(outputs))
    return answer, computed_at_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What looking up has cost and spared."""

    lookups: int = 0
    hits: int = 0
    cost_s: float = 0.0
    computed: int = 0
    compute_s: float = 0.0


def pays(window: Window) -> bool:
    """Whether the seconds that hits spared outweigh the seconds that all lookups took.

    Formula: hits * (compute_s / computed) >= cost_s, which is hit rate times the mean time of computing
    against the mean cost of a lookup. Where nothing was computed, every lookup was a hit: it pays.
    """
    if not window.computed:
        return True
    return window.hits * window.compute_s / window.computed >= window.cost_s


_FIRST_PAUSE_S: Final = 60.0
_LONGEST_PAUSE_S: Final = 960.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Whether a cache is in use, by what its windows showed.

    The first window of a trial only fills the cache and is not judged: a cold cache cannot pay. Each failed
    trial doubles the pause before the next, so that a useless cache costs ever less; one that pays starts
    over with the shortest.
    """

    length: int  # lookups in a window
    paused_until_s: float = 0.0
    pause_s: float = _FIRST_PAUSE_S
    is_warm: bool = False

    def is_on(self, now_s: float) -> bool:
        """Whether to look up at all."""
        return now_s >= self.paused_until_s

    def judged(self, window: Window, *, now_s: float) -> "Trial":
        """What follows from a window of `length` lookups."""
        if not self.is_warm:
            return replace(self, is_warm=True)
        if pays(window):
            return replace(self, pause_s=_FIRST_PAUSE_S)
        return replace(
            self,
            is_warm=False,
            paused_until_s=now_s + self.pause_s,
            pause_s=min(self.pause_s * 2, _LONGEST_PAUSE_S),
        )


_STRIKES: Final = 3
_FIRST_REST_S: Final = 1.0
_LONGEST_REST_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """Whether the shared store is asked: an error, or three lookups in a row too slow, leave it alone.

    It rests for a second, then twice as long each time; a probe in the background ends the rest, never a
    request. The rest only shortens again when a request was answered in time.
    """

    strikes: int = 0
    is_open: bool = False
    until_s: float = 0.0
    rest_s: float = _FIRST_REST_S

    def failed(self, now_s: float) -> "Breaker":
        """After an error, or a probe without a timely answer."""
        return Breaker(
            is_open=True, until_s=now_s + self.rest_s, rest_s=min(self.rest_s * 2, _LONGEST_REST_S)
        )

    def was_slow(self, now_s: float) -> "Breaker":
        """After a lookup that was not waited for any longer."""
        if self.is_open:
            return self
        strikes = self.strikes + 1
        return self.failed(now_s) if strikes >= _STRIKES else replace(self, strikes=strikes)

    def answered(self) -> "Breaker":
        """After a lookup that came in time."""
        return self if self.is_open or self == _SOUND else _SOUND

    def probed(self) -> "Breaker":
        """After a probe that came in time: asked again, on approval."""
        return Breaker(rest_s=self.rest_s)


_SOUND: Final = Breaker()


def _derive(secret: bytes, purpose: bytes) -> bytes:
    return hashlib.blake2b(purpose, key=hashlib.sha512(secret).digest(), digest_size=32).digest()


def _text(text: str) -> bytes:
    data = text.encode()
    return _LENGTH.pack(len(data)) + data


@lru_cache(maxsize=1024)
def _asked(outputs: tuple[str, ...], *version: str) -> bytes:
    return _LENGTH.pack(len(outputs)) + b"".join(map(_text, (*sorted(outputs), *version)))


def _fields(form: Form) -> Iterable[bytes]:
    yield _text(form.tenant)
    yield _text(form.model)
    yield _LENGTH.pack(len(form.inputs))
    for spec in form.inputs:
        yield _text(spec.name)
        yield _text(spec.datatype)
        shape = (form.rows, *spec.shape[1:])
        yield _LENGTH.pack(len(shape))
        yield b"".join(map(_SHAPE.pack, shape))
    yield _LENGTH.pack(len(form.parameters))
    for name, value in sorted(form.parameters.items()):
        yield _text(name)
        yield _text(value)


def _champions(route: Route) -> frozenset[tuple[str, str, str]]:
    return frozenset((arm.version, arm.digest, arm.upstream) for arm in route.arms if arm.role == "champion")


def _code(body: bytes, *, key: bytes, secret: bytes) -> bytes:
    digest = hashlib.blake2b(key, digest_size=KEY_BYTES, key=secret, person=b"answer")
    digest.update(body)
    return digest.digest()


def _cut(body: bytes, sizes: Iterable[int], *, start: int) -> list[bytes]:
    parts = []
    for size in sizes:
        parts.append(body[start : start + size])
        start += size
    return parts
