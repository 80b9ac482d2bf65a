"""What all tests share."""

from hypothesis import settings

# A busy machine is slow, not wrong: examples have no deadline of their own.
settings.register_profile("slipway", deadline=None)
settings.load_profile("slipway")
