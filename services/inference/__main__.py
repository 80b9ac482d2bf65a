"""`python -m services.inference`."""

from services.inference.app import build
from services.inference.settings import Settings
from slipway.process import run

if __name__ == "__main__":
    run("inference", build, Settings)
