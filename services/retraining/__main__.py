"""Run the retraining service: `python -m services.retraining`."""

from services.retraining.app import build
from services.retraining.settings import Settings
from slipway.process import run

if __name__ == "__main__":
    run("retraining", build, Settings)
