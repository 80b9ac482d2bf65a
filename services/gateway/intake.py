"""What a request passes before a version is asked, one gate after the other."""

from dataclasses import dataclass
from typing import Final

from services.gateway.answering import Question
from services.gateway.catalog import Catalog, Model
from services.gateway.defence_outputs import OUTPUTS, check_wanted
from services.gateway.defending import defend_input
from services.gateway.domain.checks import CheckedInput, check_inputs, check_outputs
from services.gateway.domain.priorities import level_of
from services.gateway.domain.routing import Arm, Route, arm_of_role, arm_of_version, choose
from services.gateway.limits.limits import Limits, Reservation
from services.gateway.permissions import Permissions
from services.gateway.recording import Recording
from services.gateway.records import Prediction
from services.gateway.refusing import Refusing
from services.gateway.stages import CHECK, ROUTE, Stages
from services.gateway.suspects import Suspects
from services.gateway.wire import InferCall
from slipway.clock import Clock
from slipway.errors import SlipwayError
from slipway.identity.caller import Caller
from slipway.ids import new_id
from slipway.policy.engine import Decision

_MODEL: Final = Refusing("model")
_PERMISSION: Final = Refusing("permission")
_EXTRACTION: Final = Refusing("extraction")
_INPUT: Final = Refusing("input")
_INPUT_SCORE: Final = Refusing("input_score")
_ROUTE: Final = Refusing("route")
_SPOOL_FULL: Final = Refusing("spool_full")
_RECORDING: Final = Refusing("recording")


# Not frozen, as it is made for every request: that would triple its cost.
@dataclass(slots=True, kw_only=True)
class _Entry:
    """Who asks what, and what was allowed and set aside for it."""

    caller: Caller
    call: InferCall
    model: Model
    decision: Decision
    suspicion: str
    reservation: Reservation
    start_s: float


class Intake:
    """Lets requests in: is there such a model, may this be asked of it, is there room for the record."""

    def __init__(
        self,
        catalog: Catalog,
        recording: Recording,
        *,
        permissions: Permissions,
        suspects: Suspects,
        limits: Limits,
        clock: Clock,
    ) -> None:
        self._catalog = catalog
        self._permissions = permissions
        self._suspects = suspects
        self._recording = recording
        self._limits = limits
        self._clock = clock

    def check(self, caller: Caller, call: InferCall) -> None:
        """Refuse what can never be answered, without asking for an answer: what comes later is checked now.

        Raises:
            SlipwayError: As `answer` would refuse it.
        """
        with _MODEL:
            model = self._catalog.find(call.model, tenant=caller.tenant)
        with _PERMISSION:
            self._permissions.infer(caller, model)
        with _EXTRACTION:
            self._suspects.meet(caller, model.contract)
        with _INPUT:
            check_inputs(model.contract, call.tensors)
            check_outputs(model.contract, _of_version(call))
        with _ROUTE:
            _named_arm(model.route, call)

    def admit(self, caller: Caller, call: InferCall, *, budget_s: float | None, stages: Stages) -> Question:
        """What is asked, whether it may be, which arm answers, and until when.

        Raises:
            SlipwayError: Refused; nobody was asked, and nothing is set aside.
        """
        start_s = self._clock.monotonic_s()
        with _MODEL:
            model = self._catalog.find(call.model, tenant=caller.tenant)
        with _PERMISSION:
            decision = self._permissions.infer(caller, model)
        with _EXTRACTION:
            suspicion = self._suspects.meet(caller, model.contract)
        reservation = self._limits.reserve(caller, model.name, rows=call.rows)
        entry = _Entry(
            caller=caller,
            call=call,
            model=model,
            decision=decision,
            suspicion=suspicion,
            reservation=reservation,
            start_s=start_s,
        )
        try:
            question = self._question(entry, budget_s=budget_s, stages=stages)
        except SlipwayError:
            reservation.release()
            raise
        return question

    def _question(self, entry: _Entry, *, budget_s: float | None, stages: Stages) -> Question:
        call, model = entry.call, entry.model
        contract = model.contract
        with _INPUT:
            checked = check_inputs(contract, call.tensors)
            asked = _of_version(call)
            # Who asks for outputs of the defence alone gets them alone.
            outputs = check_outputs(contract, asked) if asked or not call.outputs else ()
            level = level_of(call.priority)
        stages.lap(CHECK)
        with _SPOOL_FULL:
            self._recording.check_room(contract)
        if contract.is_strict:
            with _RECORDING:
                self._recording.check_safety(contract)
        prediction = self._prediction(entry, checked)
        _defend(model, prediction, wanted=call.outputs)
        budgets = (budget_s, call.timeout_s, contract.timeout_s)
        question = Question(
            model=model,
            prediction=prediction,
            outputs=outputs,
            wanted=call.outputs or outputs,
            start_s=entry.start_s,
            deadline_s=entry.start_s + min([budget for budget in budgets if budget is not None]),
            level=level,
            stages=stages,
            reservation=entry.reservation,
        )
        stages.lap(ROUTE)
        return question

    def _prediction(self, entry: _Entry, checked: CheckedInput) -> Prediction:
        call, model = entry.call, entry.model
        prediction_id = call.prediction_id or new_id()
        with _ROUTE:
            arm = _arm(model, call, prediction_id)
        return Prediction(
            prediction_id=prediction_id,
            caller=entry.caller,
            decision=entry.decision,
            arm=arm,
            form=model.forms[arm.version],
            contract=model.contract,
            route_epoch=model.route.epoch,
            unit=call.unit,
            business_key=call.business_key,
            request_id=call.request_id,
            checked=checked,
            is_pinned=bool(call.version or call.arm),
            protocol=call.protocol,
            suspicion=entry.suspicion,
        )


def _defend(model: Model, prediction: Prediction, *, wanted: tuple[str, ...]) -> None:
    guard = model.guards[prediction.arm.version]
    if wanted:
        with _INPUT:
            check_wanted(guard, prediction.arm.version, wanted)
    with _INPUT_SCORE:
        defend_input(guard, prediction)


def _of_version(call: InferCall) -> tuple[str, ...]:
    return tuple([name for name in call.outputs if name not in OUTPUTS])


def _arm(model: Model, call: InferCall, prediction_id: str) -> Arm:
    return _named_arm(model.route, call) or choose(model.route, call.unit or prediction_id)


def _named_arm(route: Route, call: InferCall) -> Arm | None:
    if call.arm:
        return arm_of_role(route, call.arm, version=call.version)
    return arm_of_version(route, call.version) if call.version else None
