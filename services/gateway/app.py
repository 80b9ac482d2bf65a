"""How the gateway is put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

from services.gateway.adoption import Adoption
from services.gateway.answering import Answering
from services.gateway.cache.answers import AnswerCache
from services.gateway.cache.local import LocalTier
from services.gateway.cache.shared import SharedTier, connect
from services.gateway.catalog import ROUTES_SNAPSHOT, SPECS_SNAPSHOT, Catalog
from services.gateway.consumer import CatalogConsumer, follow_suspects
from services.gateway.directory import SNAPSHOT as DIRECTORY_SNAPSHOT
from services.gateway.directory import Directory, DirectoryWatch
from services.gateway.drain import Drain
from services.gateway.fallbacks import Fallbacks
from services.gateway.gaps import FILE as GAPS_FILE
from services.gateway.gaps import Gaps
from services.gateway.handlers.feedback import FeedbackDoor
from services.gateway.handlers.keys import Keys
from services.gateway.handlers.models import Models
from services.gateway.handlers.predict import Predictions
from services.gateway.intake import Intake
from services.gateway.job_parts import add_jobs
from services.gateway.key_sync import KNOWN_TO_ALL_S, KeySync
from services.gateway.keyring import SNAPSHOT as KEYS_SNAPSHOT
from services.gateway.keyring import KeyRing
from services.gateway.openapi import describe
from services.gateway.public_port import MOST_CALLS, age_options, public_options
from services.gateway.record_status import add_record_status
from services.gateway.recording import Recording
from services.gateway.rest import Rest
from services.gateway.rpc import (
    FEEDBACK_SERVICE,
    KEYS_SERVICE,
    OIP_SERVICE,
    FeedbackService,
    InferenceService,
    KeyService,
    register_raw,
)
from services.gateway.settings import PEPPER_FILE, Settings
from services.gateway.shipper import Shipper, keep_measured
from services.gateway.snapshots import Snapshot
from services.gateway.spool import Spool
from services.gateway.store import KeyStore
from services.gateway.suspects import SNAPSHOT as SUSPECTS_SNAPSHOT
from services.gateway.suspects import Suspects
from services.gateway.upkeep import Upkeep
from services.gateway.version_parts import Versions, add_versions
from services.gateway.web import add_routes
from services.gateway.worker import probes, sole_user, until_fresh
from slipway.clock import Clock, SystemClock
from slipway.process import Process
from slipway.rpc import MAX_MESSAGE_BYTES, OPERATOR_TOKEN_FILE, OperatorToken, RpcServer
from slipway.tokens import SECRET_FILE
from slipway.v1.keys_pb2_grpc import add_KeyAdminServicer_to_server
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
    keyring: KeyRing
    suspects: Suspects
    restored: int  # the directory's revision when nothing but the snapshot was known


async def build(process: Process, settings: Settings) -> None:
    """Open the spools, restore what was known, follow the neighbours, then listen."""
    process.front.mount(REST_PATH, starting)
    if settings.probe_port:
        await process.enter(probes(process, settings))
    await process.enter(sole_user(settings.state_dir))
    segments, shipper = await _spool(
        process, settings, name=PREDICTIONS_SPOOL, limit_bytes=settings.spool_limit_bytes
    )
    recording = _recording(process, settings, segments=segments, shipper=shipper)
    feedback, _ = await _spool(
        process, settings, name=FEEDBACK_SPOOL, limit_bytes=settings.feedback_spool_limit_bytes
    )
    jobs, _ = await _spool(process, settings, name=JOBS_SPOOL, limit_bytes=settings.jobs_spool_limit_bytes)
    if settings.adopt_from:
        adoption = Adoption(settings, predictions=PREDICTIONS_SPOOL, others=(FEEDBACK_SPOOL, JOBS_SPOOL))
        process.spawn("adoption", adoption.run)
    known = _restore(settings)
    _follow(process, settings, known=known)
    keys, sync = _keys(process, settings, keyring=known.keyring)
    admin = _admin_server(settings, keys=keys)
    door = FeedbackDoor(known.keyring, feedback, token_secret=settings.strong_secret(SECRET_FILE))
    add_routes(process.app, door)
    describe(process.app)
    if settings.share_ports:
        await until_fresh(process, lambda: _is_fresh(known, sync))
    versions = add_versions(
        process, settings, directory=known.directory, segments=segments, clock=SystemClock()
    )
    predictions = _predictions(process, settings, known=known, recording=recording, versions=versions)
    await _serve(
        process,
        settings,
        known=known,
        predictions=predictions,
        versions=versions,
        jobs=jobs,
        door=door,
        admin=admin,
    )


async def _spool(
    process: Process, settings: Settings, *, name: str, limit_bytes: int
) -> tuple[Spool, Shipper]:
    spool = await process.enter(
        _opened(settings.state_dir / name, limit_bytes=limit_bytes, segment_bytes=settings.segment_bytes)
    )
    shipper = Shipper(spool, settings.kafka_bootstrap)
    process.spawn(f"shipper of {name}", shipper.run)
    process.spawn(f"gauges of {name}", partial(keep_measured, spool))
    return spool, shipper


def _recording(process: Process, settings: Settings, *, segments: Spool, shipper: Shipper) -> Recording:
    clock = SystemClock()
    gaps = Gaps(settings.state_dir / GAPS_FILE, segments, clock=clock)
    recording = Recording(segments, gaps, debtor=shipper, clock=clock)
    process.spawn("gaps in the records", gaps.run)
    process.spawn("group commit", recording.commit.run)
    add_record_status(process.app, segments, gaps=gaps, debtor=shipper)
    return recording


@asynccontextmanager
async def _opened(folder: Path, *, limit_bytes: int, segment_bytes: int) -> AsyncIterator[Spool]:
    spool = Spool(folder, limit_bytes=limit_bytes, segment_bytes=segment_bytes)
    try:
        yield spool
    finally:
        spool.close()


def _restore(settings: Settings) -> _Known:
    catalog, directory, suspects = Catalog(), Directory(), Suspects()
    keyring = KeyRing(settings.strong_secret(PEPPER_FILE))
    for part in (catalog, directory, keyring, suspects):
        part.restore(settings.state_dir)
    return _Known(
        catalog=catalog,
        directory=directory,
        keyring=keyring,
        suspects=suspects,
        restored=directory.changes.revision,
    )


def _is_fresh(known: _Known, sync: KeySync) -> bool:
    """Whether everything has been told anew since the start."""
    return known.catalog.is_caught_up and sync.is_synced and known.directory.changes.revision > known.restored


def _follow(process: Process, settings: Settings, *, known: _Known) -> None:
    """Keep what is known up to date, and on disk."""
    catalog, directory, keyring, suspects = known.catalog, known.directory, known.keyring, known.suspects
    files = (
        (SPECS_SNAPSHOT, catalog.changes, catalog.dump_specs),
        (ROUTES_SNAPSHOT, catalog.changes, catalog.dump_routes),
        (DIRECTORY_SNAPSHOT, directory.changes, directory.dump),
        (KEYS_SNAPSHOT, keyring.changes, keyring.dump),
        (SUSPECTS_SNAPSHOT, suspects.changes, suspects.dump),
    )
    for name, changes, dump in files:
        snapshot = Snapshot(path=settings.state_dir / name, changes=changes, dump=dump)
        process.spawn(f"snapshot {name}", snapshot.keep)
    consumer = CatalogConsumer(settings.kafka_bootstrap, catalog)
    process.spawn("model_specs", consumer.follow_specs)
    process.spawn("routes", consumer.follow_routes)
    process.spawn("caught up", consumer.note_caught_up)
    process.spawn("extraction alarms", partial(follow_suspects, settings.kafka_bootstrap, suspects))
    process.spawn("extraction alarms caught up", suspects.note_caught_up)
    watch = DirectoryWatch(
        settings.inference_target, directory, operator_token=settings.secret(OPERATOR_TOKEN_FILE)
    )
    process.spawn("directory", watch.run)
    process.ready_when("specs and routes", lambda: catalog.is_known)
    process.ready_when("API keys", lambda: keyring.is_loaded)
    process.ready_when("extraction alarms", lambda: suspects.is_known)


def _keys(process: Process, settings: Settings, *, keyring: KeyRing) -> tuple[Keys, KeySync]:
    store = KeyStore()
    sync = KeySync(settings.postgres_dsn, store, keyring=keyring)
    process.spawn("keys", sync.run)
    known_after_s = KNOWN_TO_ALL_S if settings.share_ports else 0.0
    return Keys(store, sync, pepper=keyring.pepper, known_after_s=known_after_s), sync


def _admin_server(settings: Settings, *, keys: Keys) -> RpcServer:
    server = RpcServer(
        interceptors=(OperatorToken(settings.secret(OPERATOR_TOKEN_FILE)),),
        max_message_bytes=2 * MAX_MESSAGE_BYTES,  # a caller's largest message travels inside another
        options=age_options(settings),
        is_shared=settings.share_ports,
    )
    server.add(add_KeyAdminServicer_to_server, KeyService(keys), service=KEYS_SERVICE)
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
        secret=settings.strong_secret(SECRET_FILE),
        stale_s=settings.cache_stale_s,
    )


def _predictions(
    process: Process, settings: Settings, *, known: _Known, recording: Recording, versions: Versions
) -> Predictions:
    clock = SystemClock()
    cache = _cache(process, settings, clock)
    fallbacks = Fallbacks(versions.lanes, versions.upstream, clock=clock, cache=cache)
    return Predictions(
        Intake(known.catalog, recording, clock=clock, suspects=known.suspects),
        known.keyring,
        answering=Answering(versions.lanes, fallbacks, cache=cache),
        recording=recording,
        mirror=versions.mirror,
        clock=clock,
        token_secret=settings.strong_secret(SECRET_FILE),
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
    admin: RpcServer,
) -> None:
    """The public port, last: what it needs is there, and at the end it closes first."""
    clock, server = SystemClock(), _public_server(settings)
    models = Models(known.catalog, known.directory, keyring=known.keyring, not_ready=process.not_ready)
    oip = InferenceService(predictions, models, version=version("slipway"))
    intake = FeedbackService(door)
    server.add(register_raw(OIP_SERVICE, oip.methods), oip, service=OIP_SERVICE)
    server.add(register_raw(FEEDBACK_SERVICE, intake.methods), intake, service=FEEDBACK_SERVICE)
    door_of_jobs = await add_jobs(
        process, settings, predictions=predictions, spool=jobs, public=server, admin=admin, clock=clock
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
    await process.enter(admin.serving(f"{settings.admin_host}:{settings.admin_port}"))
    await process.enter(public.serving(f"{settings.host}:{settings.grpc_port}"))
    if settings.drain_s:
        process.drain_by(Drain(settings, (public, admin)).run)
