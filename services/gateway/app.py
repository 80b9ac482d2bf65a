"""How the gateway is put together."""

from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from services.gateway import metrics
from services.gateway.adoption import Adoption
from services.gateway.answering import Answering
from services.gateway.cache.answers import AnswerCache
from services.gateway.cache.local import LocalTier
from services.gateway.cache.shared import SharedTier, connect
from services.gateway.catalog import ROUTES_SNAPSHOT, SPECS_SNAPSHOT, Catalog
from services.gateway.consumer import CatalogConsumer
from services.gateway.directory import SNAPSHOT as DIRECTORY_SNAPSHOT
from services.gateway.directory import Directory, DirectoryWatch
from services.gateway.drain import Drain
from services.gateway.fallbacks import Fallbacks
from services.gateway.handlers.feedback import FeedbackDoor
from services.gateway.handlers.models import Models
from services.gateway.handlers.predict import Predictions
from services.gateway.identity_parts import Identity, add_identity, admin_server
from services.gateway.intake import Intake
from services.gateway.job_parts import add_jobs
from services.gateway.key_sync import KeySync
from services.gateway.limits.parts import LimitParts, add_limits
from services.gateway.openapi import describe
from services.gateway.permissions import Permissions
from services.gateway.public_port import MOST_CALLS, public_options
from services.gateway.recording import Recording
from services.gateway.rest import Rest
from services.gateway.rpc import (
    FEEDBACK_SERVICE,
    OIP_SERVICE,
    FeedbackService,
    InferenceService,
    register_raw,
)
from services.gateway.settings import Settings
from services.gateway.spool import Spool
from services.gateway.spool_parts import keep_records, open_spool
from services.gateway.suspect_parts import add_suspects
from services.gateway.suspects import Suspects
from services.gateway.upkeep import Upkeep
from services.gateway.version_parts import Versions, add_versions
from services.gateway.web import add_routes
from services.gateway.worker import probes, sole_user, until_fresh
from slipway.clock import Clock, SystemClock
from slipway.identity.api_keys import PEPPER_FILE, check_pepper
from slipway.identity.key_book import SNAPSHOT as KEYS_SNAPSHOT
from slipway.identity.key_book import KeyBook
from slipway.policy.access import open_policies
from slipway.policy.engine import Policies
from slipway.process import Process
from slipway.rpc import RpcServer
from slipway.snapshots import Snapshot
from slipway.tokens import SECRET_FILE
from slipway.web import starting

PREDICTIONS_SPOOL: Final = "segments"
FEEDBACK_SPOOL: Final = "feedback"
REST_PATH: Final = "v2"
JOBS_SPOOL: Final = "jobs"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What the gateway knows without asking anyone."""

    catalog: Catalog
    directory: Directory
    keys: KeyBook
    permissions: Permissions
    limits: LimitParts
    suspects: Suspects
    restored: int  # the directory's revision when nothing but the snapshot was known


async def build(process: Process, settings: Settings) -> None:
    """Open the spools, restore what was known, follow the neighbours, then listen."""
    process.front.mount(REST_PATH, starting)
    if settings.probe_port:
        await process.enter(probes(process, settings))
    await process.enter(sole_user(settings.state_dir))
    segments, shipper = await open_spool(
        process, settings, name=PREDICTIONS_SPOOL, limit_bytes=settings.spool_limit_bytes
    )
    recording = keep_records(process, settings, segments=segments, shipper=shipper)
    feedback, _ = await open_spool(
        process, settings, name=FEEDBACK_SPOOL, limit_bytes=settings.feedback_spool_limit_bytes
    )
    jobs, _ = await open_spool(
        process, settings, name=JOBS_SPOOL, limit_bytes=settings.jobs_spool_limit_bytes
    )
    _adopt(process, settings)
    known = _restore(process, settings, open_policies(process, settings))
    _follow(process, settings, known=known)
    identity = add_identity(process, settings, book=known.keys)
    door = _feedback_door(process, settings, known=known, identity=identity, spool=feedback)
    if settings.share_ports:
        await until_fresh(process, lambda: _is_fresh(known, identity.sync))
    versions = add_versions(
        process, settings, directory=known.directory, segments=segments, clock=SystemClock()
    )
    predictions = _predictions(
        process, settings, known=known, recording=recording, versions=versions, identity=identity
    )
    await _serve(
        process,
        settings,
        known=known,
        predictions=predictions,
        versions=versions,
        jobs=jobs,
        door=door,
        identity=identity,
    )


def _adopt(process: Process, settings: Settings) -> None:
    if settings.adopt_from:
        adoption = Adoption(settings, predictions=PREDICTIONS_SPOOL, others=(FEEDBACK_SPOOL, JOBS_SPOOL))
        process.spawn("adoption", adoption.run)


def _restore(process: Process, settings: Settings, policies: Policies) -> _Known:
    catalog, directory = Catalog(), Directory()
    keys = KeyBook(check_pepper(settings.secret(PEPPER_FILE)), note_count=metrics.KEYS.set)
    for part in (catalog, directory, keys):
        part.restore(settings.state_dir)
    return _Known(
        catalog=catalog,
        directory=directory,
        keys=keys,
        permissions=Permissions(policies, catalog),
        limits=add_limits(process, settings, clock=SystemClock()),
        suspects=add_suspects(process, settings),
        restored=directory.changes.revision,
    )


def _is_fresh(known: _Known, sync: KeySync) -> bool:
    """Whether everything has been told anew since the start."""
    is_told = known.catalog.is_caught_up and known.suspects.caught_up.is_set() and sync.is_synced
    return is_told and known.directory.changes.revision > known.restored


def _follow(process: Process, settings: Settings, *, known: _Known) -> None:
    """Keep what is known up to date, and on disk."""
    catalog, directory, keys = known.catalog, known.directory, known.keys
    files = (
        (SPECS_SNAPSHOT, catalog.changes, catalog.dump_specs),
        (ROUTES_SNAPSHOT, catalog.changes, catalog.dump_routes),
        (DIRECTORY_SNAPSHOT, directory.changes, directory.dump),
        (KEYS_SNAPSHOT, keys.changes, keys.dump),
    )
    for name, changes, dump in files:
        snapshot = Snapshot(path=settings.state_dir / name, changes=changes, dump=dump)
        process.spawn(f"snapshot {name}", snapshot.keep)
    consumer = CatalogConsumer(settings.kafka_bootstrap, catalog)
    process.spawn("model_specs", consumer.follow_specs)
    process.spawn("routes", consumer.follow_routes)
    process.spawn("caught up", consumer.note_caught_up)
    process.spawn("directory", DirectoryWatch(settings.inference_target, directory).run)
    process.ready_when("specs and routes", lambda: catalog.is_known)
    process.ready_when("API keys", lambda: keys.is_loaded)


def _feedback_door(
    process: Process, settings: Settings, *, known: _Known, identity: Identity, spool: Spool
) -> FeedbackDoor:
    door = FeedbackDoor(
        identity.public,
        spool,
        permissions=known.permissions,
        limits=known.limits.limits,
        token_secret=settings.secret(SECRET_FILE).encode(),
    )
    add_routes(process.app, door)
    describe(process.app)
    return door


def _models(process: Process, known: _Known, *, identity: Identity) -> Models:
    return Models(
        known.catalog,
        known.directory,
        authenticator=identity.public,
        permissions=known.permissions,
        not_ready=process.not_ready,
    )


def _admin_server(settings: Settings, *, known: _Known, identity: Identity) -> RpcServer:
    server = admin_server(settings, identity, policies=known.permissions.policies)
    known.limits.serve(server)
    return server


def _public_server(settings: Settings) -> RpcServer:
    return RpcServer(options=public_options(settings), max_calls=MOST_CALLS, is_shared=settings.share_ports)


def _cache(process: Process, settings: Settings, clock: Clock) -> AnswerCache:
    shared = None
    if settings.redis_url:
        shared = SharedTier(connect(settings.redis_url), clock, budget_s=settings.cache_budget_ms / 1000)
        process.spawn("shared cache", shared.run)
    return AnswerCache(
        LocalTier(settings.cache_bytes),
        shared,
        clock=clock,
        secret=settings.secret(SECRET_FILE).encode(),
        stale_s=settings.cache_stale_s,
    )


def _predictions(
    process: Process,
    settings: Settings,
    *,
    known: _Known,
    recording: Recording,
    versions: Versions,
    identity: Identity,
) -> Predictions:
    clock, limits = SystemClock(), known.limits.limits
    cache = _cache(process, settings, clock)
    fallbacks = Fallbacks(versions.lanes, versions.upstream, clock=clock, cache=cache)
    intake = Intake(
        known.catalog,
        recording,
        permissions=known.permissions,
        suspects=known.suspects,
        limits=limits,
        clock=clock,
    )
    return Predictions(
        intake,
        identity.public,
        answering=Answering(versions.lanes, fallbacks, cache=cache),
        recording=recording,
        mirror=versions.mirror,
        limits=limits,
        clock=clock,
        token_secret=settings.secret(SECRET_FILE).encode(),
    )


async def _serve(
    process: Process,
    settings: Settings,
    *,
    known: _Known,
    predictions: Predictions,
    versions: Versions,
    jobs: Spool,
    door: FeedbackDoor,
    identity: Identity,
) -> None:
    """The public port, last: what it needs is there, and at the end it closes first."""
    clock, server = SystemClock(), _public_server(settings)
    admin = _admin_server(settings, known=known, identity=identity)
    models = _models(process, known, identity=identity)
    oip = InferenceService(predictions, models, version=version("slipway"))
    intake = FeedbackService(door)
    server.add(register_raw(OIP_SERVICE, oip.methods), oip, service=OIP_SERVICE)
    server.add(register_raw(FEEDBACK_SERVICE, intake.methods), intake, service=FEEDBACK_SERVICE)
    door_of_jobs = await add_jobs(
        process,
        settings,
        predictions=predictions,
        permissions=known.permissions,
        spool=jobs,
        public=server,
        admin=admin,
        clock=clock,
    )
    upkeep = Upkeep(
        server,
        models,
        catalog=known.catalog,
        directory=known.directory,
        lanes=versions.lanes,
        upstream=versions.upstream,
    )
    await _listen(process, settings, public=server, admin=admin)
    process.spawn("upkeep", upkeep.run)
    process.mount(REST_PATH, Rest(predictions, models, jobs=door_of_jobs, version=version("slipway")))


async def _listen(process: Process, settings: Settings, *, public: RpcServer, admin: RpcServer) -> None:
    await process.enter(admin.serving(f"{settings.admin_host}:{settings.admin_port}", tls=settings.mesh_tls))
    await process.enter(public.serving(f"{settings.host}:{settings.grpc_port}", tls=settings.public_tls))
    if settings.drain_s:
        process.drain_by(Drain(settings, (public, admin)).run)
