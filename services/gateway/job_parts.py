"""How the jobs' part of the gateway is put together."""

from services.gateway.domain.job_options import JobRules
from services.gateway.handlers.jobs import JobDoor
from services.gateway.handlers.predict import Predictions
from services.gateway.job_desk import job_desk
from services.gateway.job_rpc import (
    ASYNC_SERVICE,
    TRUSTED_SERVICE,
    AsyncInferenceService,
    TrustedInferenceService,
)
from services.gateway.job_web import add_job_routes
from services.gateway.permissions import Permissions
from services.gateway.settings import Settings
from services.gateway.spool import Spool
from slipway.clock import Clock
from slipway.job_terms import split_list
from slipway.process import Process
from slipway.rpc import RpcServer
from slipway.tokens import SECRET_FILE
from slipway.v1.jobs_pb2_grpc import (
    add_AsyncInferenceServicer_to_server,
    add_TrustedInferenceServicer_to_server,
)


async def add_jobs(
    process: Process,
    settings: Settings,
    *,
    predictions: Predictions,
    permissions: Permissions,
    spool: Spool,
    public: RpcServer,
    admin: RpcServer,
    clock: Clock,
) -> JobDoor:
    """Let applications submit jobs, and the jobs service have them answered."""
    desk = await process.enter(job_desk(settings.jobs_target))
    rules = JobRules(
        default_ttl_s=settings.job_ttl_s,
        callbacks=settings.callback_policy(),
        reply_topics=split_list(settings.reply_topics),
    )
    door = JobDoor(
        predictions,
        spool,
        desk=desk,
        permissions=permissions,
        limits=predictions.limits,
        rules=rules,
        clock=clock,
        secret=settings.secret(SECRET_FILE).encode(),
    )
    public.add(
        add_AsyncInferenceServicer_to_server,
        AsyncInferenceService(door),
        service=ASYNC_SERVICE,
    )
    trusted = TrustedInferenceService(predictions, not_ready=process.missing)
    admin.add(add_TrustedInferenceServicer_to_server, trusted, service=TRUSTED_SERVICE)
    add_job_routes(process.app, door)
    return door
