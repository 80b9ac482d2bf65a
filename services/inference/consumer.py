"""Route tables and model specs in."""

from services.inference.domain.demand import Resources
from services.inference.domain.version import Version
from services.inference.handlers import Inference
from slipway import spec
from slipway.envelope import Event

UPSTREAM = "inference"


def apply_routes(inference: Inference, event: Event) -> None:
    """Take the arms of one route table that are ours to serve."""
    table = event.message
    arms = frozenset(
        Version(model=table.model, version=arm.version, digest=arm.digest)
        for arm in table.arms
        if arm.upstream == UPSTREAM
    )
    inference.set_arms(table.model, arms, epoch=table.epoch)


def apply_spec(inference: Inference, event: Event) -> None:
    """Take how one model's versions are run.

    Raises:
        InvalidInput: The YAML does not hold a spec.
    """
    message = event.message
    serving = spec.parse(message.yaml).serving
    resources = Resources(
        spec_yaml=message.yaml, replicas=serving.replicas, cpus_per_replica=serving.cpus_per_replica
    )
    inference.set_resources(message.name, resources, revision=message.revision)
