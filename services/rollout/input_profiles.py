"""Whether a version brings what its spec's section `defence` demands."""

from typing import Final

from slipway.errors import InvalidInput
from slipway.input_profiles import from_bytes
from slipway.spec import Spec
from slipway.stats.density_score import threshold_of

_HOW: Final = "; register it anew with `slipway register` or train it again, or change the spec"


def lacks(spec: Spec, input_profile: bytes) -> str:
    """What a version lacks, in words; empty where it lacks nothing.

    Args:
        spec: The newest, which gateways obey.
        input_profile: Serialized; empty where there is none.
    """
    defence = spec.defence
    if not (defence.demands_density or defence.demands_calibration):
        return ""
    try:
        profile = from_bytes(input_profile)
        if defence.demands_density:
            if profile.density is None:
                return f"has no input profile, and the spec has `defence.density`{_HOW}"
            threshold_of(profile.density.calibration, defence.density.false_positive_rate)
            if defence.demands_agreement and profile.agreement is None:
                return f"has no answers to compare with, and the spec has `defence.agreement`{_HOW}"
    except InvalidInput as error:
        return f"cannot be defended as its spec demands: {error}{_HOW}"
    if defence.demands_calibration and profile.calibration is None:
        return f"has no calibration, and the spec has `defence.confidence`{_HOW}"
    return ""
