"""Leases in Redis or Valkey: one script for each kind, atomic, on one key each."""

from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from services.gateway.limits.rules import Bucket, Rule
from services.gateway.limits.terms import LEASE_S, Ask, Reply

# RuntimeError is what uvloop says of a connection that was closed under a write.
FAILURES: Final = (RedisError, OSError, RuntimeError)

# Patient, as no request waits for it: what is slow for less is not away.
TIMEOUT_S: Final = 1.0

_PREFIX: Final = "slipway:limits:1:"
_GATEWAYS: Final = f"{_PREFIX}gateways"
_HOLDER_S: Final = 15.0  # without a word, after which a gateway no longer counts
_KEEP_S: Final = 2 * 86_400  # beyond the end of a window

# A budget is a hash: what all have spent, what each gateway has told of that, and the leases with their ends.
# What a gateway has spent is told as one number that only grows, so to tell it twice does no harm.
_BUDGET: Final = """
local known = redis.call('HMGET', KEYS[1], 'spent', 'leases', 'of:' .. ARGV[1])
if not known[1] then return {-1} end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local spent, told, mine = tonumber(known[1]), tonumber(known[3] or '0'), tonumber(ARGV[3])
if mine > told then
  spent = spent + mine - told
  redis.call('HSET', KEYS[1], 'spent', string.format('%.0f', spent), 'of:' .. ARGV[1], ARGV[3])
end
local leases, others = cjson.decode(known[2] or '{}'), 0
for holder, lease in pairs(leases) do
  if lease[2] <= now then leases[holder] = nil
  elseif holder ~= ARGV[1] then others = others + lease[1] end
end
local held = math.max(0, tonumber(ARGV[4]))
local want, need = tonumber(ARGV[5]), tonumber(ARGV[6])
local free = tonumber(ARGV[2]) - spent - others
local fair = math.max(need, 1, math.floor((free - held) / (2 * tonumber(ARGV[8]))))
local granted = math.max(0, math.min(want, free - held, fair))
if granted < need then granted = 0 end
leases[ARGV[1]] = nil
if held + granted > 0 then leases[ARGV[1]] = {held + granted, now + tonumber(ARGV[7])} end
redis.call('HSET', KEYS[1], 'leases', cjson.encode(leases))
redis.call('EXPIREAT', KEYS[1], ARGV[9])
return {granted, string.format('%.0f', tonumber(ARGV[2]) - spent), string.format('%.0f', free)}
"""
_SEED: Final = """
if redis.call('HEXISTS', KEYS[1], 'spent') == 1 then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('EXPIREAT', KEYS[1], ARGV[1])
return 1
"""
# A rate is a bucket that fills by itself; a lease is poured out of it, and what is left of one poured back.
_RATE: Final = """
local known = redis.call('HMGET', KEYS[1], 'level', 'at')
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local per_ms, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local level = tonumber(known[1] or ARGV[2]) + math.max(0, now - tonumber(known[2] or now)) * per_ms
level = math.min(burst, math.min(burst, level) + tonumber(ARGV[3]))
local want, need = tonumber(ARGV[4]), tonumber(ARGV[5])
local fair = math.max(need, 1, math.floor(level / (2 * tonumber(ARGV[6]))))
local granted = math.max(0, math.min(want, math.floor(level), fair))
if granted < need then granted = 0 end
level = level - granted
redis.call('HSET', KEYS[1], 'level', string.format('%.17g', level), 'at', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil(burst / per_ms) + 1000)
return {granted, string.format('%.17g', level), string.format('%.17g', level)}
"""
_HELLO: Final = """
local clock = redis.call('TIME')
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', clock[1] - tonumber(ARGV[2]))
redis.call('ZADD', KEYS[1], clock[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], 3600)
return redis.call('ZCARD', KEYS[1])
"""


class LeaseStore:
    """Takes leases for one gateway."""

    def __init__(self, client: Redis, *, holder: str, lease_s: float = LEASE_S) -> None:
        """Args beyond the obvious: `lease_s`, after which a lease that nobody renews is nobody's."""
        self._client = client
        self._holder = holder
        self._lease_ms = round(lease_s * 1000)
        self._digests: dict[str, str] = {}

    async def hello(self) -> int:
        """Say that this gateway lives; returns how many do."""
        (count,) = await self._run([(_HELLO, _GATEWAYS, (self._holder, _HOLDER_S))])
        return int(count)

    async def goodbye(self) -> None:
        """This gateway ends."""
        await self._client.zrem(_GATEWAYS, self._holder)

    async def lease(self, asks: Sequence[Ask], *, gateways: int) -> list[Reply | None]:
        """Tell, give back, and take, in one round trip; None for a budget that the store does not know."""
        answers = await self._run([self._call(ask, gateways) for ask in asks])
        return [_reply(answer) for answer in answers]

    async def seed(self, key: str, spent: Mapping[str, int], *, ends_s: float) -> None:
        """Tell of a budget that it does not know, by gateway; whoever comes second changes nothing."""
        fields: list[str | int] = ["spent", sum(spent.values())]
        for holder, amount in spent.items():
            fields += [f"of:{holder}", amount]
        await self._run([(_SEED, key, (_expiry(ends_s), *fields))])

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    def _call(self, ask: Ask, gateways: int) -> tuple[str, str, tuple[Any, ...]]:
        rule = ask.rule
        if rule.kind == "rate":
            return _RATE, ask.key, (rule.per_s / 1000, rule.burst, ask.given, ask.want, ask.need, gateways)
        expiry = _expiry(ask.ends_s)
        told = (self._holder, rule.value, ask.spent, ask.held)
        return _BUDGET, ask.key, (*told, ask.want, ask.need, self._lease_ms, gateways, expiry)

    async def _run(self, calls: Sequence[tuple[str, str, tuple[Any, ...]]]) -> list[Any]:
        await self._load({script for script, _, _ in calls} - self._digests.keys())
        try:
            return await self._execute(calls)
        except NoScriptError:  # the server was restarted, and no script of this batch was run
            self._digests.clear()
            await self._load({script for script, _, _ in calls})
            return await self._execute(calls)

    async def _execute(self, calls: Sequence[tuple[str, str, tuple[Any, ...]]]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for script, key, arguments in calls:
            pipeline.evalsha(self._digests[script], 1, key, *arguments)
        answers: list[Any] = await pipeline.execute()
        return answers

    async def _load(self, scripts: Iterable[str]) -> None:
        for script in scripts:
            self._digests[script] = await self._client.script_load(script)


def key_of(rule: Rule, bucket: Bucket, window_start_s: float | None) -> str:
    """Where the store keeps a bucket; lengths stand before names, so that no two are written alike."""
    names = "".join("-" if name is None else f"{len(name)}:{name}" for name in bucket)
    window = "rate" if window_start_s is None else f"{window_start_s:.0f}"
    return f"{_PREFIX}{rule.counts}:{rule.name}:{rule.kind}:{rule.unit}:{window}:{names}"


def _expiry(ends_s: float) -> int:
    return ceil(ends_s) + _KEEP_S


def _reply(answer: Any) -> Reply | None:
    if answer[0] < 0:
        return None
    return Reply(granted=int(answer[0]), left=float(answer[1]), free=float(answer[2]))
