"""The one failure that only the gateway knows."""

from slipway.errors import SlipwayError


class ArmFailed(SlipwayError):
    """A version took a request that was correct, and failed or answered nonsense."""
