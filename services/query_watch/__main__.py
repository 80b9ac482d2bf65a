"""`python -m services.query_watch`."""

from services.query_watch.app import build
from services.query_watch.settings import Settings
from slipway.process import run

run("query_watch", build, Settings)
