"""One training from its request to its decision."""

import dataclasses
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.retraining import messages
from services.retraining.domain.calibration import Calibration, calibrate
from services.retraining.domain.examples import ExampleSet, first_row_since, lineage_of
from services.retraining.domain.gate import (
    Insufficient,
    Outcome,
    Verdict,
    judge,
)
from services.retraining.domain.manifest import OffsetSpan, Origin, manifest
from services.retraining.domain.scores import Answers, last_label, majority
from services.retraining.domain.windows import Plan, Window, plan
from services.retraining.layout import columns_of, policy_of, with_all_classes
from services.retraining.metrics import ACCURACY, STEP
from services.retraining.progress import ProgressBoard
from services.retraining.ray_cluster import RayCluster
from services.retraining.specs import AppliedSpec, SpecBook
from services.retraining.step_values import FittedModel, Recipe, StepAnswers, TrainingData
from services.retraining.store.examples import ExampleStore, OffsetRange
from services.retraining.store.jobs import Job, JobStore
from services.retraining.version_desk import VersionDesk
from services.retraining.version_files import CodeVersions, artifacts_of, origin_of
from slipway.clock import Clock
from slipway.errors import DeadlineExceeded, InvalidInput, NotFound
from slipway.input_profile_fit import HeldOut
from slipway.spec import Spec
from slipway.v1.retraining_pb2 import RetrainRequested


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What one training works with."""

    request: RetrainRequested
    applied: AppliedSpec
    recipe: Recipe
    examples: ExampleSet
    offsets: Sequence[OffsetRange]
    plan: Plan
    data: Any  # reference in Ray's object store
    champion: str
    started_s: float

    @property
    def spec(self) -> Spec:
        return self.applied.spec

    @property
    def holdout(self) -> tuple[int, int]:
        return self.plan.holdout_start, self.plan.rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What trainings share."""

    examples: ExampleStore
    jobs: JobStore
    specs: SpecBook
    cluster: RayCluster
    versions: VersionDesk
    board: ProgressBoard
    clock: Clock
    code: CodeVersions


class Training:
    """Reads, has candidates fitted, judges, and registers the winner."""

    def __init__(self, workshop: Workshop) -> None:
        self._shop = workshop

    async def decide(self, job: Job) -> messages.Event:
        """The event that answers a request.

        Raises:
            Unavailable: A part is away: try again.
        """
        if job.attempts > 1 and (earlier := await self._find_earlier(job.request)):
            return earlier
        try:
            return await self._train(job.request)
        except (Insufficient, NotFound) as error:
            return messages.insufficient(job.request, str(error), now_s=self._shop.clock.now_s())

    async def _find_earlier(self, request: RetrainRequested) -> messages.Event | None:
        """The version that this request had led to before the process was killed."""
        found = await self._shop.versions.find_for_request(request.model, request.request_id)
        if found is None:
            return None
        version, document = found
        return messages.blessed(
            *(request, document),
            version=version.version,
            digest=version.digest,
            now_s=self._shop.clock.now_s(),
        )

    async def _train(self, request: RetrainRequested) -> messages.Event:
        run = await self._prepare(request)
        verdict, by_window = await self._judge(run)
        if verdict.outcome is Outcome.REJECTED:
            clock = self._shop.clock
            return messages.rejected(
                *(request, verdict),
                champion_version=run.champion,
                training_s=clock.monotonic_s() - run.started_s,
                now_s=clock.now_s(),
            )
        window = next(w for w in run.plan.windows if _contestant(w) == verdict.winner)
        await self._say(run, "refit", f"{window.name}: {window.refit_end - window.refit_start} rows")
        probabilities = by_window[window.name].probabilities
        truth = run.examples.codes[slice(*run.holdout)]
        fitted = await self._step(
            *("refit", run, "refit_and_export", run.data, run.recipe),
            window=(window.refit_start, window.refit_end),
            held_out=HeldOut(answers=probabilities, truth=truth),
        )
        calibration = calibrate(probabilities, truth)
        return await self._register(run, verdict, window=window, fitted=fitted, calibration=calibration)

    async def _prepare(self, request: RetrainRequested) -> _Run:
        shop, started_s = self._shop, self._shop.clock.monotonic_s()
        applied = await shop.specs.wait_for(request.model)
        recipe = _recipe_of(request, applied)
        await shop.board.report(request.model, request.request_id, stage="examples", message="reading")
        examples, offsets = await shop.examples.load(request.model, columns_of(applied.spec))
        since_s = request.drift_since.ToNanoseconds() / 1e9 if request.HasField("drift_since") else None
        champion = await shop.jobs.find_champion(request.model)
        policy = policy_of(applied.spec, has_champion=bool(champion))
        laid_out = plan(policy, rows=len(examples), drift_start=first_row_since(examples, since_s))
        laid_out = with_all_classes(laid_out, examples, spec=applied.spec)
        data = TrainingData(numbers=examples.numbers, texts=examples.texts, codes=examples.codes)
        return _Run(
            request=request,
            applied=applied,
            recipe=recipe,
            examples=examples,
            offsets=offsets,
            plan=laid_out,
            data=await shop.cluster.put(data),
            champion=champion,
            started_s=started_s,
        )

    async def _judge(self, run: _Run) -> tuple[Verdict, dict[str, StepAnswers]]:
        by_window: dict[str, StepAnswers] = {}
        for window in run.plan.windows:
            await self._say(run, f"window:{window.name}", f"{window.end - window.start} rows")
            by_window[window.name] = await self._step(
                *("fit", run, "fit_and_answer", run.data, run.recipe),
                window=(window.start, window.end),
                holdout=run.holdout,
            )
        champion = await self._answer_with_champion(run)
        start, end = run.holdout
        horizon_rows = run.spec.label.horizon_rows
        verdict = judge(
            [_answers(_contestant(w), by_window[w.name]) for w in run.plan.windows],
            run.examples.codes[start:end],
            champion=champion,
            baselines=[
                majority(run.examples.codes[: run.plan.fit_end], rows=end - start),
                last_label(run.examples.codes, holdout_start=start, horizon_rows=horizon_rows),
            ],
            margin=run.spec.retraining.margin,
        )
        for it in verdict.scores:
            ACCURACY.labels(run.request.model, it.contestant).set(it.accuracy)
        await self._say(run, "gate", verdict.reason)
        return verdict, by_window

    async def _answer_with_champion(self, run: _Run) -> Answers | None:
        if not run.champion:
            return None
        await self._say(run, "champion", f"version {run.champion}")
        try:
            onnx = await self._shop.versions.load_onnx(run.request.model, run.champion)
        except (InvalidInput, NotFound) as error:
            raise Insufficient(f"champion {run.champion} cannot be loaded: {error}") from error
        answers = await self._step(
            *("champion", run, "answer_with_champion", run.data, run.recipe.spec_yaml),
            onnx=onnx,
            holdout=run.holdout,
        )
        return _answers("champion", answers)

    async def _register(
        self, run: _Run, verdict: Verdict, *, window: Window, fitted: FittedModel, calibration: Calibration
    ) -> messages.Event:
        await self._say(run, "registering")
        clock, request = self._shop.clock, run.request
        document = manifest(
            *(self._origin(run), verdict),
            plan=run.plan,
            window=window,
            trained_on=lineage_of(run.examples, window.refit_start, end=window.refit_end),
            judged_on=lineage_of(run.examples, run.plan.holdout_start, end=run.plan.rows),
            offsets=[OffsetSpan(partition=o.partition, first=o.first, last=o.last) for o in run.offsets],
            parity=dataclasses.asdict(fitted.parity),
            input_profile=fitted.input_profile,
            training_s=clock.monotonic_s() - run.started_s,
        )
        made = await self._shop.versions.register(
            *(request.model, artifacts_of(run.spec, document, fitted=fitted, calibration=calibration)),
            metrics={f"accuracy.{s.contestant.replace(':', '.')}": s.accuracy for s in verdict.scores},
            params={
                "window": window.name,
                "cause": document["request"]["cause"],
                "request": request.request_id,
            },
            tenant=request.tenant,
            request_id=request.request_id,
            made_by=request.actor,
        )
        return messages.blessed(
            *(request, document), version=made.version, digest=made.digest, now_s=clock.now_s()
        )

    def _origin(self, run: _Run) -> Origin:
        return origin_of(
            *(run.request, run.applied), recipe=run.recipe, champion=run.champion, code=self._shop.code
        )

    async def _step(self, name: str, run: _Run, step: str, /, *arguments: Any, **options: Any) -> Any:
        """One task; what goes wrong inside it is a reason, not a failure of this service."""
        started_s = self._shop.clock.monotonic_s()
        try:
            return await self._shop.cluster.run(step, *arguments, **options)
        except (InvalidInput, DeadlineExceeded) as error:
            raise Insufficient(f"{name} of model {run.request.model} failed: {error}") from error
        finally:
            STEP.labels(name).observe(self._shop.clock.monotonic_s() - started_s)

    async def _say(self, run: _Run, stage: str, message: str = "") -> None:
        await self._shop.board.report(run.request.model, run.request.request_id, stage=stage, message=message)


def _recipe_of(request: RetrainRequested, applied: AppliedSpec) -> Recipe:
    if not applied.spec.is_classifier:
        raise Insufficient(
            "only classifiers can be trained here; register a regressor with `slipway register`"
        )
    if not applied.message.recipe:
        raise Insufficient("the spec names no recipe; add `recipe: recipe.py` and apply it again")
    seed = zlib.crc32(request.request_id.encode())
    return Recipe(source=applied.message.recipe, spec_yaml=applied.message.yaml, seed=seed)


def _contestant(window: Window) -> str:
    return f"window:{window.name}"


def _answers(contestant: str, it: StepAnswers) -> Answers:
    return Answers(contestant=contestant, predicted=it.predicted, probabilities=it.probabilities)
