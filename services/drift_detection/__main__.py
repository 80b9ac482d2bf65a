"""`python -m services.drift_detection`."""

from services.drift_detection.app import build
from services.drift_detection.settings import Settings
from slipway.process import run

run("drift_detection", build, Settings)
