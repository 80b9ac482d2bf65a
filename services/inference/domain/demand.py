"""Which versions must run: every arm of every route table that names the inference service."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.inference.domain.version import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """How a model's versions are run, from its spec."""

    spec_yaml: str
    replicas: int
    cpus_per_replica: float


class Demand:
    """The latest route table and spec of each model."""

    def __init__(self) -> None:
        self._arms: dict[str, tuple[int, frozenset[Version]]] = {}
        self._specs: dict[str, tuple[int, Resources]] = {}

    def set_arms(self, model: str, arms: frozenset[Version], *, epoch: int) -> bool:
        """Take a model's arms unless they are older than what is known; returns whether they were taken."""
        if epoch < self._arms.get(model, (0, frozenset()))[0]:
            return False
        self._arms[model] = (epoch, arms)
        return True

    def set_resources(self, model: str, resources: Resources, *, revision: int) -> bool:
        """Take a model's spec unless it is older than what is known; returns whether it was taken."""
        if model in self._specs and revision < self._specs[model][0]:
            return False
        self._specs[model] = (revision, resources)
        return True

    def wanted(self) -> Mapping[Version, Resources]:
        """Every version that has an arm and a spec."""
        return {
            arm: self._specs[model][1]
            for model, (_, arms) in self._arms.items()
            if model in self._specs
            for arm in arms
        }
