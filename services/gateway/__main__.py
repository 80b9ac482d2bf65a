"""`python -m services.gateway`."""

from services.gateway.app import build
from services.gateway.settings import Settings
from slipway.process import run

if __name__ == "__main__":
    run("gateway", build, Settings)
