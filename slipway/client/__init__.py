"""A small client: `from slipway.client import Slipway, AsyncSlipway`."""

from slipway.client.asynchronous import AsyncSlipway
from slipway.client.blocking import Slipway
from slipway.client.prediction import Prediction

__all__ = ["AsyncSlipway", "Prediction", "Slipway"]
