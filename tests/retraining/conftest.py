"""Fits run on one thread here, as in Ray's workers: threads that wait for a busy core only burn it."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
