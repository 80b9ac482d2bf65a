"""Run the feedback service: `python -m services.feedback`."""

from services.feedback.app import build
from services.feedback.settings import Settings
from slipway.process import run

if __name__ == "__main__":
    run("feedback", build, Settings)
