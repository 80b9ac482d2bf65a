"""What the gateway itself costs per request: its whole pipeline, the version answering at once.

Examples:
  PYTHONPATH=. .venv/bin/python load-tests/hot_path/cost.py
  PYTHONPATH=. .venv/bin/python load-tests/hot_path/cost.py --profile   # where the time goes
  PYTHONPATH=. .venv/bin/python load-tests/hot_path/cost.py --parts     # what each guard adds
"""

import argparse
import asyncio
import cProfile
import pstats
import statistics
import tempfile
import time
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import uvloop

from services.gateway.answering import Answering
from services.gateway.cache.answers import AnswerCache
from services.gateway.cache.local import LocalTier
from services.gateway.catalog import Catalog
from services.gateway.channels import Channels, replica_credentials
from services.gateway.directory import Directory
from services.gateway.domain.routing import Arm
from services.gateway.fallbacks import Fallbacks
from services.gateway.gaps import Gaps
from services.gateway.handlers.predict import Predictions
from services.gateway.intake import Intake
from services.gateway.lanes import Lanes
from services.gateway.limits.limits import Limits
from services.gateway.limits.rules import rules_of
from services.gateway.limits.terms import StoreState
from services.gateway.limits.usage import Usage
from services.gateway.mirroring import Mirror
from services.gateway.permissions import Permissions
from services.gateway.recording import Recording
from services.gateway.spool import Spool
from services.gateway.suspects import Suspects
from slipway import limits_file
from slipway.clock import SystemClock
from slipway.identity.api_keys import ApiKey, mac_of, text_of
from slipway.identity.credentials import Credentials
from slipway.identity.key_book import KeyBook
from slipway.input_profiles import InputProfile, to_bytes
from slipway.oip.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from slipway.policy.access import builtin_policies
from slipway.profiles import to_proto
from slipway.stats import density
from slipway.stats.confidence import calibrate_classes
from slipway.stats.profile import numeric_profile
from slipway.v1.rollout_pb2 import Arm as RouteArm
from slipway.v1.rollout_pb2 import ModelSpec, RouteTable
from slipway.watched_files import WatchedFiles
from tests.identity.known import authenticator_of

FEATURES = [f"f{number}" for number in range(30)]
# What a pipeline can have beyond key, policy, checks and record.
LIMITED, SCORED, SURE = "limits", "score", "confidence"
GUARDS = (LIMITED, SCORED, SURE)
SPEC = f"""
name: bench
task: binary
features: [{", ".join(f"{{name: {name}, range: [-10, 10]}}" for name in FEATURES)}]
label: {{name: y, classes: ["0", "1"]}}
serving: {{timeout_ms: 60000}}
"""
# Far above what is asked: a request passes them all.
LIMITS = """
prices: {per_request: 0.001, per_compute_second: 0.1}
limits:
  - {name: each-app, match: {principal: "*"}, rate: {requests: 1000000, per: second}}
  - {name: tenant-month, match: {tenant: default}, budget: {cost: 1000000, per: month}}
  - {name: cap, match: {principal: "*"}, concurrency: 100000}
"""
PEPPER, KEY = b"p" * 32, text_of("bench", "s" * 43)
CREDENTIALS = Credentials(authorization=f"Bearer {KEY}")
MIB = 1024 * 1024


class InstantVersion:
    """Answers every call with as many rows as it was sent, in no time."""

    def __init__(self) -> None:
        self._answers: dict[int, bytes] = {}

    def count_endpoints(self, _model: str, _arm: Arm) -> int:
        """One."""
        return 1

    def check_circuit(self, _model: str, _arm: Arm) -> None:
        """Closed."""

    async def infer(self, _model: str, _arm: Arm, *, request: bytes, **_: Any) -> bytes:
        """Label and probabilities for each row."""
        rows = len(ModelInferRequest.FromString(request).raw_input_contents[0]) // (4 * len(FEATURES))
        await asyncio.sleep(0)
        if rows not in self._answers:
            self._answers[rows] = _answer(rows)
        return self._answers[rows]


def _answer(rows: int) -> bytes:
    message = ModelInferResponse(
        raw_output_contents=[
            b"\1\0\0\0" + b"1" if rows == 1 else (b"\1\0\0\0" + b"1") * rows,
            bytes(8 * rows),
        ]
    )
    message.outputs.add(name="label", datatype="BYTES", shape=[rows])
    message.outputs.add(name="probabilities", datatype="FP32", shape=[rows, 2])
    return message.SerializeToString()


def pipeline(folder: Path, guards: Collection[str] = GUARDS) -> Predictions:
    """The gateway's own parts, with one model at one version."""
    rng = np.random.default_rng(1)
    arm = RouteArm(version="1", digest="d" * 64, upstream="inference", role="champion", weight_ppm=1_000_000)
    for name in FEATURES:
        arm.profile.features.append(to_proto(numeric_profile(name, rng.normal(size=1000))))
    arm.input_profile.ParseFromString(_input_profile(guards, rng))
    catalog, book, clock = Catalog(), KeyBook(PEPPER), SystemClock()
    catalog.apply_spec(ModelSpec(name="bench", tenant="default", revision=1, yaml=SPEC))
    catalog.apply_route(RouteTable(model="bench", epoch=1, salt="s", arms=[arm]))
    book.replace([ApiKey(key_id="bench", principal="bench", tenant="default", mac=mac_of(PEPPER, KEY))])
    spool = Spool(folder, limit_bytes=4096 * MIB, segment_bytes=16 * MIB)
    version: Any = InstantVersion()
    lanes = Lanes(version, clock, slots=1)
    cache = AnswerCache(LocalTier(MIB), None, clock=clock, secret=b"c" * 32, stale_s=0)
    answering = Answering(lanes, Fallbacks(lanes, version, clock=clock, cache=cache), cache=cache)
    gaps = Gaps(folder / "unrecorded.json", spool, clock=clock)
    recording = Recording(spool, gaps, debtor=_NoDebt(), clock=clock)
    limits_text = LIMITS if LIMITED in guards else "limits: []"
    files = WatchedFiles(Path(), (), parse=lambda _: rules_of(limits_file.parse(limits_text)))
    limits = Limits(files, state=StoreState(is_away=True), usage=Usage(), clock=clock)
    limits.lease_by(_NoDue())
    return Predictions(
        Intake(
            catalog,
            recording,
            permissions=Permissions(builtin_policies(), catalog),
            suspects=Suspects(),
            limits=limits,
            clock=clock,
        ),
        authenticator_of(book),
        answering=answering,
        recording=recording,
        limits=limits,
        mirror=Mirror(Directory(), spool, lanes=lanes, channels=_channels(), clock=clock, rng=Random(1)),
        clock=clock,
        token_secret=b"t" * 32,
    )


def _channels() -> Channels:
    """To replicas, of which there are none."""
    return Channels(replica_credentials(cert_file="", ca_file=""))


def _input_profile(guards: Collection[str], rng: np.random.Generator) -> bytes:
    """As a version trained on rows like these would bring."""
    rows, sure = rng.normal(size=(2000, len(FEATURES))), rng.uniform(size=2000)
    probabilities = np.stack([1 - sure, sure], axis=1)
    truth = (rng.uniform(size=2000) < sure).astype(np.int64)
    return to_bytes(
        InputProfile(
            features=tuple(FEATURES),
            density=density.fit(rows) if SCORED in guards else None,
            calibration=calibrate_classes(probabilities, truth) if SURE in guards else None,
        )
    )


class _NoDue:
    """A store that is away: every request goes by the gateway's own share, the longest way."""

    def note(self, _account: Any) -> None:
        """Nothing."""


class _NoDebt:
    """A Kafka that owes nothing."""

    def owed_s(self) -> float:
        """Nothing."""
        return 0.0


def request() -> bytes:
    """One row of 30 numbers, raw."""
    tensor = ModelInferRequest.InferInputTensor(name="features", datatype="FP32", shape=[1, len(FEATURES)])
    row = np.linspace(-1, 1, len(FEATURES), dtype="<f4").tobytes()
    return ModelInferRequest(
        model_name="bench", inputs=[tensor], raw_input_contents=[row]
    ).SerializeToString()


async def answer_all(predictions: Predictions, *, count: int, in_flight: int) -> float:
    """Microseconds of this process's CPU per request."""
    data, left = request(), count

    async def caller() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await predictions.infer(data, credentials=CREDENTIALS, budget_s=60.0)

    before = time.process_time()
    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return (time.process_time() - before) / count * 1e6


async def measure(predictions: Predictions, args: argparse.Namespace) -> list[float]:
    """CPU per request of each round, after a short one to warm up."""

    async def once(count: int) -> float:
        return await answer_all(predictions, count=count, in_flight=args.in_flight)

    await once(1000)
    if args.profile:
        with cProfile.Profile() as profile:
            await once(args.requests)
        pstats.Stats(profile).sort_stats("tottime").print_stats(35)
        return []
    return [await once(args.requests) for _ in range(args.rounds)]


async def compare_parts(args: argparse.Namespace) -> None:
    """Pipelines with more and more guards, in turn; what a guard adds is the median."""
    with ExitStack() as stack:
        kinds = [GUARDS[:count] for count in range(len(GUARDS) + 1)]
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in kinds]
        pipelines = [pipeline(folder, guards) for folder, guards in zip(folders, kinds, strict=True)]
        rounds = []
        for number in range(args.rounds + 1):
            count = args.requests if number else 1000
            rounds.append([await answer_all(it, count=count, in_flight=args.in_flight) for it in pipelines])
    found = np.array(rounds[1:])
    print(f"{np.median(found[:, 0]):4.0f} us without, at {args.in_flight} in flight")
    for guard, added in zip(GUARDS, np.median(np.diff(found, axis=1), axis=0), strict=True):
        print(f"{added:+4.0f} us {guard}")
    print(f"{np.median(found[:, -1] - found[:, 0]):+4.0f} us together")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000, help="in each round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--in-flight", type=int, default=128)
    parser.add_argument("--parts", action="store_true", help="what each guard adds, turn by turn")
    parser.add_argument("--profile", action="store_true", help="print where one round spends its time")
    args = parser.parse_args()
    if args.parts:
        uvloop.run(compare_parts(args))
        return
    with tempfile.TemporaryDirectory() as folder:
        rounds = uvloop.run(measure(pipeline(Path(folder)), args))
    if args.profile:
        return
    median, least = statistics.median(rounds), min(rounds)
    print(f"{median:.0f} us CPU per request (median of {args.rounds}; least {least:.0f})")


if __name__ == "__main__":
    main()
