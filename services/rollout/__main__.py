"""The rollout service as a process."""

from services.rollout.app import build
from services.rollout.settings import Settings
from slipway.process import run

if __name__ == "__main__":
    run("rollout", build, Settings)
