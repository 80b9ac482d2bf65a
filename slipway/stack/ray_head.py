"""Ray's head node: the engine under serving and training."""

import asyncio
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from slipway.stack.credentials import RAY_TOKEN
from slipway.stack.layout import Layout
from slipway.stack.part import Part
from slipway.stack.readiness import LOOPBACK, tcp_open

NAME: Final = "ray"
# Cores are shares for scheduling, not a limit: champion, canary and a training must fit.
# Logical: replicas ask for tenths and a training for a half. What shares the real cores is niceness.
_CPUS: Final = 8
_OBJECT_STORE_BYTES: Final = 160 * 1024 * 1024
_WORKER_PORTS: Final = 400


def ray_client_environment(secrets: Path) -> dict[str, str]:
    """What every process that talks to this Ray must have in its environment."""
    return {
        # Despite its name, 0 makes Ray keep 127.0.0.1 as the node's address on Linux too. Otherwise
        # it swaps in the machine's own address, and the GCS and raylet bind on all interfaces.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(secrets / RAY_TOKEN),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
    }


def ray_part(layout: Layout, ports: Mapping[str, int]) -> Part:
    """The head node, loopback only, with a token; its state does not survive a restart."""
    sessions = layout.sockets / NAME

    async def prepare() -> None:
        layout.data(NAME).mkdir(exist_ok=True)
        # Each start leaves a session directory behind; nothing in it is read again.
        await asyncio.to_thread(shutil.rmtree, sessions, ignore_errors=True)

    async def is_ready() -> bool:
        # The agent listens last, when the node has joined its own cluster.
        return await tcp_open(ports["ray_gcs"]) and await tcp_open(ports["ray_agent"])

    return Part(
        name=NAME,
        command=_command(sessions, ports),
        ports={name: port for name, port in ports.items() if name.startswith("ray_")},
        is_ready=is_ready,
        environment=_environment(layout, ports),
        # Ray's processes hide their environment: this directory is how `down` knows them.
        directory=layout.data(NAME),
        prepare=prepare,
        # Its replicas would drain for half a minute, but whoever sent them work has stopped before.
        stop_wait_s=5,
        # It gives its own node 30 s to appear, fixed in its source: too little on a busy machine.
        start_attempts=3,
    )


def _environment(layout: Layout, ports: Mapping[str, int]) -> dict[str, str]:
    return {
        **ray_client_environment(layout.secrets),
        "DASHBOARD_METRIC_PORT": str(ports["ray_dashboard_metrics"]),
        "RAY_ROTATION_MAX_BYTES": str(8 * 1024 * 1024),
        "RAY_ROTATION_BACKUP_COUNT": "1",
        "RAY_DISABLE_IMPORT_WARNING": "1",
        # Ray runs its workers at nice 15; then nothing could stand behind serving. Trainings take 19.
        "RAY_worker_niceness": "0",
        # Idle workers above this are ended after a second, and with two cores the default is two
        # processes, replicas included: each training would import scikit-learn anew, for seconds.
        "RAY_num_workers_soft_limit": "5",
        # One idle process per logical CPU would be half a gigabyte for nothing.
        "RAY_prestart_worker_first_driver": "0",
        "RAY_enable_worker_prestart": "0",
        "OMP_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
        "PYTHONUNBUFFERED": "1",
    }


def _command(sessions: Path, ports: Mapping[str, int]) -> tuple[str, ...]:
    first = ports["ray_workers"]
    return (
        # Ray's children outlive a killed parent and hold its ports: see slipway.stack.launch.
        *(sys.executable, "-m", "slipway.stack.launch", NAME),
        *(str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--disable-usage-stats"),
        f"--node-ip-address={LOOPBACK}",
        f"--port={ports['ray_gcs']}",
        f"--ray-client-server-port={ports['ray_client']}",
        f"--dashboard-agent-listen-port={ports['ray_agent']}",
        f"--dashboard-port={ports['ray_dashboard']}",
        f"--min-worker-port={first}",
        f"--max-worker-port={first + _WORKER_PORTS - 1}",
        f"--num-cpus={_CPUS}",
        f"--object-store-memory={_OBJECT_STORE_BYTES}",
        f"--temp-dir={sessions}",
        # Each of these would be one more Python process, for clusters of many machines.
        "--include-dashboard=false",
        "--include-log-monitor=false",
        "--no-monitor",
    )
