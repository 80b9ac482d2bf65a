"""A gateway, a version behind it and the jobs service, each a process of its own."""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import requests

from slipway.job_terms import PRIORITIES
from slipway.topics import INFERENCE_JOBS
from slipway.v1.jobs_pb2 import CancelJobRequest, GetJobRequest, SubmitJobRequest
from slipway.v1.jobs_pb2_grpc import AsyncInferenceStub
from slipway.v1.rollout_pb2 import Arm
from tests.gateway.live import Gateway, request, upstream, wait_for
from tests.receiver import Receiver, receiver
from tests.service_process import (
    ServiceProcess,
    free_port,
    mesh,
    neighbour,
    own_database,
    own_service,
    skip_history,
)
from tests.small_model import make_onnx

ENDED = ("DONE", "FAILED", "EXPIRED", "CANCELLED")


@dataclass(kw_only=True)
class Bench:
    gateway: Gateway
    jobs: ServiceProcess
    port: int  # of the champion's server
    receiver: Receiver

    @contextmanager
    def stub(self, gateway: Gateway | None = None) -> Iterator["Jobs"]:
        it = gateway or self.gateway
        with grpc.insecure_channel(it.target) as channel:
            yield Jobs(stub=AsyncInferenceStub(channel), gateway=it)

    def metric(self, name: str) -> float:
        """The sum of a metric of the jobs service over its labels."""
        url = f"http://127.0.0.1:{self.jobs.environment['SLIPWAY_HTTP_PORT']}/metrics"
        lines = requests.get(url, timeout=5).text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


@dataclass(kw_only=True)
class Jobs:
    """What a caller does."""

    stub: Any
    gateway: Gateway

    @property
    def how(self) -> dict[str, Any]:
        return {"metadata": self.gateway.metadata, "timeout": 30}

    def submit(self, rows: Any = None, *, fields: Any = None, **options: Any) -> str:
        message = SubmitJobRequest(request=request(self.gateway.model, rows, **(fields or {})), **options)
        return str(self.stub.Submit(message, **self.how).job_id)

    def get(self, job_id: str, *, wait_s: float = 0.0) -> Any:
        return self.stub.GetJob(GetJobRequest(job_id=job_id, wait_s=wait_s), **self.how)

    def cancel(self, job_id: str) -> Any:
        return self.stub.CancelJob(CancelJobRequest(job_id=job_id), **self.how)

    def end(self, job_id: str) -> Any:
        """The job at its end, also across a restart of the jobs service."""

        def look() -> Any:
            try:
                job = self.get(job_id, wait_s=5)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                return None
            return job if job.state in ENDED else None

        return wait_for(f"the end of {job_id}", look)


def champion(port: int) -> Arm:
    target = f"127.0.0.1:{port}"
    return Arm(version="1", digest="d" * 64, upstream=target, role="champion", weight_ppm=1_000_000)


@contextmanager
def bench(folder: Path, *, delay_s: float = 0.0, **settings: str) -> Iterator[Bench]:
    """All of it, with one model that answers after a delay."""
    (folder / "jobs").mkdir(parents=True)
    port, grpc_port, admin_port = free_port(), free_port(), free_port()
    with receiver() as hooks, own_database("gateway") as keys_dsn, own_database("jobs") as jobs_dsn:
        lists = {
            "SLIPWAY_CALLBACK_ALLOW": hooks.url,
            "SLIPWAY_CALLBACK_PRIVATE_NETWORKS": "127.0.0.0/8",
        }
        with (
            own_service(
                "gateway",
                folder / "gateway",
                SLIPWAY_POSTGRES_DSN=keys_dsn,
                SLIPWAY_ADMIN_PORT=str(admin_port),
                SLIPWAY_INFERENCE_TARGET=f"127.0.0.1:{free_port()}",
                SLIPWAY_JOBS_TARGET=neighbour(grpc_port, to="gateway"),
                **mesh("gateway"),
                **lists,
            ) as gateway_process,
            own_service(
                "jobs",
                folder / "jobs" / "service",
                SLIPWAY_SECRETS_DIR=gateway_process.environment["SLIPWAY_SECRETS_DIR"],
                SLIPWAY_POSTGRES_DSN=jobs_dsn,
                SLIPWAY_GRPC_PORT=str(grpc_port),
                SLIPWAY_GATEWAY_ADMIN_TARGET=neighbour(admin_port, to="jobs"),
                **mesh("jobs"),
                SLIPWAY_CONSUMER_GROUP=f"test.jobs.{secrets.token_hex(4)}",
                SLIPWAY_INSTANCE="test",
                **lists,
                **settings,
            ) as jobs,
            upstream(port, make_onnx(folder / "jobs"), "--delay-s", str(delay_s)),
        ):
            gateway = Gateway(service=gateway_process, model=f"jobs-test-{secrets.token_hex(4)}")
            skip_jobs(jobs)
            gateway_process.start()
            jobs.start()
            gateway_process.wait_ready()
            gateway.key = gateway.create_key("tester").secret
            gateway.publish(champion(port))
            gateway.wait_for_epoch()
            jobs.wait_ready()
            yield Bench(gateway=gateway, jobs=jobs, port=port, receiver=hooks)


def skip_jobs(jobs: ServiceProcess) -> None:
    group = jobs.environment["SLIPWAY_CONSUMER_GROUP"]
    for priority in PRIORITIES:
        topics = (INFERENCE_JOBS[priority].name,)
        asyncio.run(skip_history(jobs.bootstrap, f"{group}.{priority}", topics))
