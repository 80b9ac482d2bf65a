"""`python -m services.retrain_trigger`."""

from services.retrain_trigger.app import build
from services.retrain_trigger.settings import Settings
from slipway.process import run

run("retrain_trigger", build, Settings)
