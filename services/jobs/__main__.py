"""Run the jobs service: `python -m services.jobs`."""

from services.jobs.app import build
from services.jobs.settings import Settings
from slipway.process import run

if __name__ == "__main__":
    run("jobs", build, Settings)
