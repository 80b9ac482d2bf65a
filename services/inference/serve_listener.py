"""Keeps Ray Serve's own listener in a replica off the network.

Ray Serve 2.60 opens a gRPC server in every replica for calls between deployments: on all
interfaces, without authentication, unpickling what it is sent (`_on_initialized` in
ray/serve/_private/replica.py; no setting changes the address). Nobody calls ours, so it is bound
where the replica's own port is. An integration test looks at the listeners of the real processes.
"""

from typing import Any

from ray.serve._private import replica


def bind_to(host: str) -> None:
    """Make this process's replica bind that server on `host`; call before the constructor returns.

    Raises:
        RuntimeError: This version of Ray does it in another way, and the listener would be open.
    """
    original = getattr(replica, "add_port_to_grpc_server", None)
    if original is None:
        raise RuntimeError(
            "Ray Serve binds its listener in an unknown way; see services/inference/serve_listener.py"
        )

    def add_port(server: Any, _address: str) -> Any:
        return original(server, f"{host}:0")

    vars(replica)["add_port_to_grpc_server"] = add_port
