"""What is compared, as data: who takes part, under which loads, beside which services."""

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One way of loading a target.

    Attributes:
        in_flight: Closed loop: so many calls are always under way. 0 for an open loop.
        rate_per_s: Open loop: calls start at this rate, whether or not earlier ones have ended.
    """

    in_flight: int = 0
    rate_per_s: int = 0

    @property
    def title(self) -> str:
        """As it stands in a table."""
        if self.in_flight:
            return f"{self.in_flight} in flight"
        return f"{self.rate_per_s} calls/s offered" if self.rate_per_s else "every load"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """Who is measured.

    Attributes:
        site: What has to run for it. Contestants of one site run beside each other and take turns.
        protocol: Which driver loads it.
    """

    name: str
    title: str
    site: str
    protocol: Literal["grpc", "http"] = "grpc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One table of the report.

    Attributes:
        whole_stack: Whether all parts of Slipway run meanwhile, or only what a prediction needs.
        reference: The contestant to which the others are put in proportion.
    """

    name: str
    title: str
    contestants: tuple[str, ...]
    loads: tuple[Load, ...]
    whole_stack: bool = False
    reference: str = "gateway"


SLIPWAY: Final = "slipway"


def _over_http(name: str, title: str, site: str) -> Contestant:
    return Contestant(name=name, title=title, site=site, protocol="http")


CONTESTANTS: Final = (
    Contestant(name="gateway", title="Slipway: gateway and replica", site=SLIPWAY),
    Contestant(name="gateway_guarded", title="Slipway: with limits and input score", site=SLIPWAY),
    Contestant(name="replica", title="Slipway's replica, called directly", site=SLIPWAY),
    Contestant(name="raw_grpc", title="raw grpc.aio + uvloop, model in process", site="raw_grpc"),
    Contestant(name="ray_tuned", title="Ray Serve gRPC, tuned", site="ray_tuned"),
    Contestant(name="ray_installed", title="Ray Serve gRPC, as installed", site="ray_installed"),
    Contestant(name="mlserver_in_process", title="MLServer, parallel_workers 0", site="mlserver_in_process"),
    Contestant(name="mlserver_worker", title="MLServer, parallel_workers 1", site="mlserver_worker"),
    _over_http("gateway_rest_binary", "Slipway: REST, binary tensors", SLIPWAY),
    _over_http("gateway_rest_json", "Slipway: REST, JSON", SLIPWAY),
    _over_http("mlserver_rest", "MLServer, parallel_workers 0: REST, JSON", "mlserver_in_process"),
    _over_http("bentoml", "BentoML: HTTP, JSON", "bentoml"),
)

CLOSED: Final = tuple(Load(in_flight=n) for n in (1, 16, 32, 128))
OPEN: Final = (Load(rate_per_s=500), Load(rate_per_s=2000))

SCENARIOS: Final = (
    # First, while the consumers have no history to catch up with.
    Scenario(
        name="whole_stack",
        title="The whole stack runs",
        contestants=("gateway", "replica"),
        loads=CLOSED + OPEN,
        whole_stack=True,
    ),
    Scenario(
        name="peers",
        title="Beside the peers; Slipway's stream consumers are stopped",
        contestants=tuple(contestant.name for contestant in CONTESTANTS),
        loads=CLOSED + OPEN,
    ),
)
