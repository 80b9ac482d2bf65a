"""The endpoint directory as the inference service would tell it, told by a test."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc

from slipway.v1.inference_pb2 import EndpointDirectory, VersionEndpoints
from slipway.v1.inference_pb2_grpc import (
    InferenceDirectoryServicer,
    add_InferenceDirectoryServicer_to_server,
)


class DirectoryServer(InferenceDirectoryServicer):
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._directory = EndpointDirectory(epoch=1)
        self._is_over = False

    def list(self, model: str, version: str, ports: Sequence[int]) -> None:
        """From now on these ports hold the version."""
        entry = VersionEndpoints(
            model=model, version=version, state="READY", targets=[f"127.0.0.1:{port}" for port in ports]
        )
        with self._changed:
            kept = [e for e in self._directory.versions if (e.model, e.version) != (model, version)]
            self._directory = EndpointDirectory(epoch=self._directory.epoch + 1, versions=[*kept, entry])
            self._changed.notify_all()

    def WatchEndpoints(self, _request: Any, context: Any) -> Iterator[EndpointDirectory]:
        told = 0
        while context.is_active() and not self._is_over:
            with self._changed:
                if self._directory.epoch == told:
                    self._changed.wait(timeout=0.5)
                now = self._directory
            if now.epoch != told:
                told = now.epoch
                yield now

    @contextmanager
    def serving(self, port: int) -> Iterator["DirectoryServer"]:
        with ThreadPoolExecutor(4) as pool:
            server = grpc.server(pool)
            add_InferenceDirectoryServicer_to_server(self, server)
            server.add_insecure_port(f"127.0.0.1:{port}")
            server.start()
            try:
                yield self
            finally:
                with self._changed:
                    self._is_over = True
                    self._changed.notify_all()
                server.stop(1).wait()
