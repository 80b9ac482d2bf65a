"""A small RolloutControl that answers what the test wants, and the commands that ask it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from slipway.v1 import extraction_pb2_grpc, keys_pb2_grpc, notices_pb2_grpc, rollout_pb2_grpc
from tests.cli.stand_in import Keys, Notices, QueryWatch, Rollout


@pytest.fixture
def rollout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rollout]:
    server = grpc.server(ThreadPoolExecutor(2))
    servicer = Rollout()
    notices_pb2_grpc.add_RolloutNoticesServicer_to_server(Notices(), server)
    extraction_pb2_grpc.add_QueryWatchServicer_to_server(QueryWatch(servicer), server)
    keys_pb2_grpc.add_KeyAdminServicer_to_server(Keys(servicer), server)
    rollout_pb2_grpc.add_RolloutControlServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    (tmp_path / "operator.token").write_text("token")
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SLIPWAY_SECRETS_DIR", str(tmp_path))
    monkeypatch.delenv("SLIPWAY_OPERATOR_TOKEN", raising=False)
    for target in ("ROLLOUT", "GATEWAY_ADMIN", "QUERY_WATCH"):
        monkeypatch.setenv(f"SLIPWAY_{target}_TARGET", f"127.0.0.1:{port}")
    for away in ("INFERENCE", "FEEDBACK", "RETRAINING", "RETRAIN_TRIGGER"):
        monkeypatch.setenv(f"SLIPWAY_{away}_TARGET", "127.0.0.1:1")
    yield servicer
    server.stop(None).wait()
