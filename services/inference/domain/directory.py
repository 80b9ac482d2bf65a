"""The directory as it is told: a snapshot with an epoch that only grows."""

from dataclasses import dataclass

from services.inference.domain.fleet import VersionState
from services.inference.domain.replicas import DRAINING


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """All versions at one moment."""

    epoch: int
    versions: tuple[VersionState, ...] = ()

    def find(self, model: str, version: str) -> VersionState | None:
        """A version's state; where two digests bear its number, the one that is not draining."""
        found = [s for s in self.versions if (s.version.model, s.version.version) == (model, version)]
        return min(found, key=lambda s: s.state == DRAINING, default=None)


def updated(directory: Directory, versions: tuple[VersionState, ...], *, now_s: float) -> Directory:
    """The next directory; the same one where nothing has changed.

    Epochs are milliseconds since 1970, pushed on by one where changes come faster, so that they
    grow across restarts without a store.
    """
    if versions == directory.versions:
        return directory
    return Directory(epoch=max(directory.epoch + 1, int(now_s * 1000)), versions=versions)
