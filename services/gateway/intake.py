"""What a request passes before a version is asked, one gate after the other."""

from typing import Final

from services.gateway.answering import Question
from services.gateway.catalog import Catalog, Model
from services.gateway.domain.checks import CheckedInput, check_inputs, check_outputs
from services.gateway.domain.priorities import level_of
from services.gateway.domain.routing import Arm, Route, arm_of_role, arm_of_version, choose
from services.gateway.recording import Recording
from services.gateway.records import Prediction
from services.gateway.refusing import Refusing
from services.gateway.stages import CHECK, ROUTE, Stages
from services.gateway.suspects import Suspects
from services.gateway.wire import InferCall
from slipway.clock import Clock
from slipway.identity.caller import Caller
from slipway.ids import new_id

_MODEL: Final = Refusing("model")
_INPUT: Final = Refusing("input")
_ROUTE: Final = Refusing("route")
_EXTRACTION: Final = Refusing("extraction")
_SPOOL_FULL: Final = Refusing("spool_full")
_RECORDING: Final = Refusing("recording")


class Intake:
    """Lets requests in: is there such a model, may this be asked of it, is there room for the record."""

    def __init__(
        self, catalog: Catalog, recording: Recording, *, clock: Clock, suspects: Suspects | None = None
    ) -> None:
        self._catalog = catalog
        self._recording = recording
        self._suspects = suspects or Suspects()
        self._clock = clock

    def check(self, caller: Caller, call: InferCall) -> None:
        """Refuse what can never be answered, without asking for an answer: what comes later is checked now.

        Raises:
            SlipwayError: As `answer` would refuse it.
        """
        with _MODEL:
            model = self._catalog.find(call.model, tenant=caller.tenant)
        with _EXTRACTION:
            self._suspects.meet(caller, model.contract)
        with _INPUT:
            check_inputs(model.contract, call.tensors)
            check_outputs(model.contract, call.outputs)
        with _ROUTE:
            _named_arm(model.route, call)

    def admit(self, caller: Caller, call: InferCall, *, budget_s: float | None, stages: Stages) -> Question:
        """What is asked, whether it may be, which arm answers, and until when.

        Raises:
            SlipwayError: Refused; nobody was asked.
        """
        start_s = self._clock.monotonic_s()
        with _MODEL:
            model = self._catalog.find(call.model, tenant=caller.tenant)
        contract = model.contract
        with _EXTRACTION:
            suspicion = self._suspects.meet(caller, contract)
        with _INPUT:
            checked = check_inputs(contract, call.tensors)
            outputs = check_outputs(contract, call.outputs)
            level = level_of(call.priority)
        stages.lap(CHECK)
        with _SPOOL_FULL:
            self._recording.check_room(contract)
        if contract.is_strict:
            with _RECORDING:
                self._recording.check_safety(contract)
        prediction = self._prediction(caller, call, model=model, checked=checked)
        prediction.defence_action = suspicion
        prediction.is_suspect = bool(suspicion)
        budgets = (budget_s, call.timeout_s, contract.timeout_s)
        question = Question(
            model=model,
            prediction=prediction,
            outputs=outputs,
            start_s=start_s,
            deadline_s=start_s + min([budget for budget in budgets if budget is not None]),
            level=level,
            stages=stages,
        )
        stages.lap(ROUTE)
        return question

    def _prediction(
        self, caller: Caller, call: InferCall, *, model: Model, checked: CheckedInput
    ) -> Prediction:
        prediction_id = call.prediction_id or new_id()
        with _ROUTE:
            arm = _arm(model, call, prediction_id)
        return Prediction(
            prediction_id=prediction_id,
            caller=caller,
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
        )


def _arm(model: Model, call: InferCall, prediction_id: str) -> Arm:
    return _named_arm(model.route, call) or choose(model.route, call.unit or prediction_id)


def _named_arm(route: Route, call: InferCall) -> Arm | None:
    if call.arm:
        return arm_of_role(route, call.arm, version=call.version)
    return arm_of_version(route, call.version) if call.version else None
