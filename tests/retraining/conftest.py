"""Fits in this folder run on one thread, as Ray's workers do: threads that wait for a busy core only burn it."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
