"""A caller's watch as bytes and back."""

from typing import Final

import numpy as np

from services.query_watch.domain.shares import Share
from services.query_watch.domain.spacing import Kept, Spacing
from services.query_watch.domain.watching import FLOORS, Watch
from slipway.v1.extraction_pb2 import CallerWatch, KindShare

_FLOAT: Final = np.dtype("<f4")
_DOUBLE: Final = np.dtype("<f8")
_INT: Final = np.dtype("<i4")


def to_bytes(watch: Watch, *, scales_of: str) -> bytes:
    """What is stored."""
    kept = watch.spacing.kept
    return CallerWatch(
        rows=watch.rows,
        repeats=watch.repeats,
        variations=watch.variations,
        shares={kind: _share(share) for kind, share in watch.shares.items()},
        features=kept.points.shape[1],
        points=kept.points.astype(_FLOAT).tobytes(),
        answers=kept.answers.astype(_INT).tobytes(),
        recent=np.array(watch.spacing.recent, dtype=_DOUBLE).tobytes(),
        scales_of=scales_of,
    ).SerializeToString()


def from_bytes(data: bytes, *, scales_of: str) -> Watch:
    """What was stored; distances that were measured by another version's scales are forgotten."""
    message = CallerWatch.FromString(data)
    spacing = _spacing(message) if message.scales_of == scales_of else Spacing()
    return Watch(
        rows=message.rows,
        repeats=message.repeats,
        variations=message.variations,
        shares={
            kind: _from_share(message.shares[kind]) if kind in message.shares else Share() for kind in FLOORS
        },
        spacing=spacing,
    )


def _share(share: Share) -> KindShare:
    return KindShare(asked=share.asked, found=share.found, log_detectors=share.log_detectors)


def _from_share(message: KindShare) -> Share:
    return Share(asked=message.asked, found=message.found, log_detectors=tuple(message.log_detectors))


def _spacing(message: CallerWatch) -> Spacing:
    points = np.frombuffer(message.points, dtype=_FLOAT).reshape(-1, max(1, message.features))
    return Spacing(
        kept=Kept(
            points=points,
            answers=np.frombuffer(message.answers, dtype=_INT),
        ),
        recent=tuple(np.frombuffer(message.recent, dtype=_DOUBLE).tolist()),
    )
