"""Reference profiles between their protobuf form and the pure one of `slipway.stats`."""

from slipway.stats.profile import FeatureProfile
from slipway.v1 import tensors_pb2


def to_proto(profile: FeatureProfile) -> tensors_pb2.FeatureProfile:
    """The message of one feature's profile."""
    return tensors_pb2.FeatureProfile(
        feature=profile.feature,
        edges=profile.edges,
        categories=profile.categories,
        counts=profile.counts,
        missing=profile.missing,
    )


def from_proto(message: tensors_pb2.FeatureProfile) -> FeatureProfile:
    """The pure profile of one feature."""
    return FeatureProfile(
        feature=message.feature,
        edges=tuple(message.edges),
        categories=tuple(message.categories),
        counts=tuple(message.counts),
        missing=message.missing,
    )
