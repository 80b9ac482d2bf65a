"""What is aimed at, as data: figures of two contestants, and those of the other load tests."""

from dataclasses import dataclass
from typing import Final

from scenarios import Load


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A figure that is wanted: a contestant's, divided by another's (ratio) or less it (difference).

    Attributes:
        wanted: The bound that has to be met.
        aim: A better one that is striven for.
    """

    title: str
    against: str
    load: Load
    column: str
    wanted: float
    aim: float | None = None
    is_ratio: bool = True
    contestant: str = "gateway"
    scenario: str = "peers"

    @property
    def bound(self) -> str:
        """As it stands in a table."""
        sign, unit = (">=", " x") if self.is_ratio else ("<=", " ms")
        return f"{sign} {self.wanted}{unit}" + (f", aim {self.aim}" if self.aim is not None else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A figure that another load test gives, by the name under which it writes it down.

    Attributes:
        trial: The folder of that load test; empty where no load test gives it.
        where: For the reader, when it was not measured in this run.
    """

    title: str
    bound: str
    trial: str = ""
    where: str = ""


def _throughput(against: str, title: str, wanted: float, *, aim: float | None = None) -> Goal:
    return Goal(
        title=f"throughput at 128 in flight against {title}",
        against=against,
        load=Load(in_flight=128),
        column="rate_per_s",
        wanted=wanted,
        aim=aim,
    )


_GUARDED: Final = (
    Goal(
        title="p50 added by limits and input score, 1 in flight",
        against="gateway",
        contestant="gateway_guarded",
        load=Load(in_flight=1),
        column="p50_ms",
        wanted=0.35,
        is_ratio=False,
    ),
    Goal(
        title="throughput with limits and input score against without, 128 in flight",
        against="gateway",
        contestant="gateway_guarded",
        load=Load(in_flight=128),
        column="rate_per_s",
        wanted=0.85,
    ),
)

GOALS: Final = (
    _throughput("ray_tuned", "tuned Ray Serve", 1.4, aim=1.8),
    _throughput("ray_installed", "Ray Serve as installed", 5.0),
    _throughput("mlserver_in_process", "MLServer in process", 1.0),
    _throughput("mlserver_worker", "MLServer with a worker", 2.0),
    _throughput("raw_grpc", "raw grpc.aio", 0.5, aim=0.65),
    Goal(
        title="p50 added to a direct call, 1 in flight",
        against="replica",
        load=Load(in_flight=1),
        column="p50_ms",
        wanted=0.6,
        aim=0.4,
        is_ratio=False,
    ),
    Goal(
        title="p99 added to a direct call, 16 in flight",
        against="replica",
        load=Load(in_flight=16),
        column="p99_ms",
        wanted=4.0,
        is_ratio=False,
    ),
    Goal(
        title="throughput of REST with binary tensors against gRPC, 128 in flight",
        against="gateway",
        contestant="gateway_rest_binary",
        load=Load(in_flight=128),
        column="rate_per_s",
        wanted=1.0,
    ),
    *_GUARDED,
)

CACHE_HITS: Final = Measurement(
    title="cache hits on a model that costs 5 ms a row against computing, 128 in flight",
    bound=">= 10 x",
    trial="cache",
)
MEMORY_GATEWAY: Final = Measurement(
    title="memory of the gateway under load", bound="flat, MB/h", trial="memory"
)
MEMORY_REPLICA: Final = Measurement(
    title="memory of a replica under load", bound="flat, MB/h", trial="memory"
)
GOODPUT: Final = Measurement(
    title="goodput at 3 times the capacity of a model of 5 ms a row",
    bound=">= 90 % of the capacity",
    trial="overload",
)
NO_COLLAPSE: Final = Measurement(
    title="after the overload: answered at half the capacity",
    bound=">= 99 % of what is sent",
    trial="overload",
)
RECORDS: Final = Measurement(
    title="records over a million requests with broker restarts and kill -9: missing, double",
    bound="0, 0",
    where="`./load-tests/ledger/run`",
)
ROLLOUT_ROUNDS: Final = 50
ROLLOUT_BACK: Final = Measurement(
    title="abort, rollback, failed guard: from the decision to the last answer of the bad version",
    bound="<= 1 s",
    trial="rollouts",
)
ROLLOUT_FAILED: Final = Measurement(
    title=f"failed requests in {ROLLOUT_ROUNDS} consecutive rollouts and rollbacks",
    bound="0",
    trial="rollouts",
)
ROLLOUT_SWITCH: Final = Measurement(
    title="blue-green switch seen by every gateway worker", bound="<= 1 s", trial="rollouts"
)
ROLLOUT_MANY: Final = Measurement(
    title="hundreds of rollouts at once: longest delay of a decision beside stuck ones",
    bound="<= 1 s",
    trial="rollouts",
)
REVOCATION: Final = Measurement(
    title="a revoked API key: from sending the revocation to the last call that is let through anywhere",
    bound="<= 2 s",
    where="`./load-tests/revocation/run`",
)

MEASUREMENTS: Final = (
    CACHE_HITS,
    MEMORY_GATEWAY,
    MEMORY_REPLICA,
    GOODPUT,
    NO_COLLAPSE,
    RECORDS,
    ROLLOUT_BACK,
    ROLLOUT_FAILED,
    ROLLOUT_SWITCH,
    ROLLOUT_MANY,
    REVOCATION,
)
