"""What stands in for the rollout service in the tests of the commands."""

import threading
from typing import Any

import grpc
from typer.testing import CliRunner, Result

from slipway.cli.main import build_app
from slipway.v1 import (
    extraction_pb2,
    extraction_pb2_grpc,
    keys_pb2,
    keys_pb2_grpc,
    notices_pb2,
    notices_pb2_grpc,
    rollout_pb2,
    rollout_pb2_grpc,
)

YAML = """
name: m
task: binary
features: [{name: a}]
label: {name: y, classes: ["0", "1"]}
"""


STEP = rollout_pb2.RolloutStep(
    rollout_id="r1",
    index=0,
    steps=2,
    kind="canary",
    dwell_left_s=40,
    deadline_left_s=3600,
    closed_by="waits for the approval of 'owner'",
    approval_role="owner",
    outcome="hold",
    findings=[
        rollout_pb2.Finding(
            name="errors",
            standing="gathering",
            is_guardrail=True,
            samples=1204,
            needed=1600,
            log_e_harm=0.5,
            log_harm_limit=3.7,
            log_e_proof=1.0,
            log_proof_limit=3.0,
            text="errors: 1,204 of 1,600 requests",
        )
    ],
)


class Rollout(rollout_pb2_grpc.RolloutControlServicer):
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.suspects = 1
        self.changed = True
        self.revision = 1
        self.tokens: list[str] = []
        self.lock = threading.Lock()

    def _command(self, request: Any, context: Any) -> rollout_pb2.RolloutStatus:
        metadata = dict(context.invocation_metadata())
        with self.lock:
            self.asked.append(request)
            self.tokens.append(metadata["authorization"])
        return self.status()

    def status(self) -> rollout_pb2.RolloutStatus:
        status = rollout_pb2.RolloutStatus(
            spec=rollout_pb2.ModelSpec(name="m", revision=2, yaml=YAML),
            state="CANARY",
            version="2",
            explanation="canary at 5 %: 41 of 60 rows",
            promoted=1,
        )
        status.routes.epoch = 4
        status.routes.arms.add(version="2", role="canary", weight_ppm=50_000, digest="d2")
        status.routes.arms.add(version="1", role="champion", weight_ppm=950_000, digest="d1")
        status.events.add(
            version="2",
            from_state="WARMING",
            to_state="CANARY",
            reason="its replicas are ready",
            rollout_id="r1",
            seq=2,
            actor="rollout",
        )
        status.step.CopyFrom(STEP)
        return status

    def ApplySpec(self, request: Any, _context: Any) -> Any:
        self.asked.append(request)
        spec = rollout_pb2.ModelSpec(name="m", revision=self.revision)
        return rollout_pb2.ApplySpecResponse(spec=spec, changed=self.changed)

    def ListModels(self, _request: Any, _context: Any) -> Any:
        return rollout_pb2.ListModelsResponse(models=["m"])

    def GetStatus(self, request: Any, context: Any) -> Any:
        if request.model != "m":
            context.abort(grpc.StatusCode.NOT_FOUND, f"model {request.model!r} is not known; known models: m")
        return self._command(request, context)

    def StartRollout(self, request: Any, context: Any) -> Any:
        return self._command(request, context)

    Abort = Rollback = Pause = Resume = Promote = Approve = StartRollout

    def GetReport(self, request: Any, context: Any) -> Any:
        self._command(request, context)
        report = rollout_pb2.RolloutReport(
            model="m", rollout_id="r1", version="2", state="CANARY", spec_revision=2, yaml=YAML
        )
        report.events.append(self.status().events[0])
        return report


class Notices(notices_pb2_grpc.RolloutNoticesServicer):
    """One notice that never arrives."""

    def ListFailedNotices(self, _request: Any, _context: Any) -> Any:
        failed = notices_pb2.FailedNotice(
            id="m/2/0",
            kind="step",
            receiver="https://chat.example.com",
            state="GIVEN_UP",
            tries=12,
            reason="the receiver answered 500",
        )
        return notices_pb2.ListFailedNoticesResponse(notices=[failed])

    def GetNoticeSecret(self, request: Any, _context: Any) -> Any:
        return notices_pb2.NoticeSecret(secret=f"whsec_{request.model}")


class Keys(keys_pb2_grpc.KeyAdminServicer):
    """Remembers what it was asked, in the lists of the other stand-in."""

    def __init__(self, rollout: Rollout) -> None:
        self._rollout = rollout

    def CreateKey(self, request: Any, context: Any) -> Any:
        self._rollout.asked.append(request)
        self._rollout.tokens.append(dict(context.invocation_metadata())["authorization"])
        roles = request.roles or ["app"]
        info = keys_pb2.KeyInfo(key_id="k2", principal=request.principal, tenant="default", roles=roles)
        if request.ttl_s:
            info.expires_at.FromSeconds(1_800_000_000)
        return keys_pb2.CreateKeyResponse(info=info, secret="slk_k2_secret")

    def RotateKey(self, request: Any, _context: Any) -> Any:
        self._rollout.asked.append(request)
        info = keys_pb2.KeyInfo(key_id="k3", principal="shop", roles=["app"], rotated_from=request.key_id)
        return keys_pb2.CreateKeyResponse(info=info, secret="slk_k3_secret")

    def ListKeys(self, _request: Any, _context: Any) -> Any:
        revoked = keys_pb2.KeyInfo(key_id="k1", principal="bob", tenant="default", roles=["risk"])
        revoked.revoked_at.GetCurrentTime()
        anna = keys_pb2.KeyInfo(key_id="k2", principal="anna", roles=["owner"], created_by="operator")
        return keys_pb2.ListKeysResponse(keys=[anna, revoked])

    def RevokeKey(self, request: Any, _context: Any) -> Any:
        self._rollout.asked.append(request)
        return keys_pb2.KeyInfo(key_id=request.key_id, principal="anna", roles=["owner"])


class QueryWatch(extraction_pb2_grpc.QueryWatchServicer):
    """One suspect of model `m`, in the other stand-in's terms."""

    def __init__(self, rollout: Rollout) -> None:
        self._rollout = rollout

    def ListSuspects(self, request: Any, _context: Any) -> Any:
        alarm = extraction_pb2.ExtractionSuspected(
            alarm_id="a1", tenant="default", principal="thief", model="m", signal="new_ground", statistic=16.5
        )
        alarm.evidence = "28 of 29 new rows (97%) lie apart"
        alarm.suspected_at.FromSeconds(1_800_000_000)
        found = [alarm] * self._rollout.suspects if request.model in ("", "m") else []
        return extraction_pb2.ListSuspectsResponse(suspects=found)

    def ClearSuspect(self, request: Any, context: Any) -> Any:
        self._rollout.asked.append(request)
        self._rollout.tokens.append(dict(context.invocation_metadata())["authorization"])
        return extraction_pb2.ExtractionCleared(
            alarm_id=request.alarm_id, principal="thief", model=request.model
        )


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(list(arguments)), list(arguments))
