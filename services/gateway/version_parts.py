"""How the way to the versions is put together: for users' calls, and for copies of them."""

from dataclasses import dataclass
from random import Random

from services.gateway.channels import Channels, replica_credentials
from services.gateway.directory import Directory
from services.gateway.domain.circuit import CircuitPolicy
from services.gateway.domain.outliers import OutlierPolicy
from services.gateway.endpoints import UpstreamPolicy
from services.gateway.lanes import Lanes
from services.gateway.mirroring import Mirror
from services.gateway.settings import Settings
from services.gateway.spool import Spool
from services.gateway.upstream import Upstream
from slipway.clock import Clock
from slipway.process import Process


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """Calls to versions, the lanes before them, and the mirror behind."""

    upstream: Upstream
    lanes: Lanes
    mirror: Mirror


def add_versions(
    process: Process, settings: Settings, *, directory: Directory, segments: Spool, clock: Clock
) -> Versions:
    """Put them together; what the mirror has under way at the end is given a moment."""
    rng = Random()  # noqa: S311
    credentials = replica_credentials(cert_file=settings.mesh_cert, ca_file=settings.mesh_ca)
    upstream = Upstream(directory, clock, rng=rng, channels=Channels(credentials), policy=_policy(settings))
    lanes = Lanes(upstream, clock, slots=settings.upstream_slots)
    mirror = Mirror(directory, segments, lanes=lanes, channels=Channels(credentials), clock=clock, rng=rng)
    process.spawn("mirror", mirror.run)
    return Versions(upstream=upstream, lanes=lanes, mirror=mirror)


def _policy(settings: Settings) -> UpstreamPolicy:
    return UpstreamPolicy(
        outliers=OutlierPolicy(
            base_ejection_s=settings.ejection_s, max_ejected_share=settings.max_ejected_share
        ),
        circuit=CircuitPolicy(
            failure_share=settings.circuit_failure_share,
            min_calls=settings.circuit_min_calls,
            open_s=settings.circuit_open_s,
        ),
    )
