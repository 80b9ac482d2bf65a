"""Tells the receivers of a live rollout what holds it. No entry of the log says it."""

import asyncio
import logging
from dataclasses import replace
from typing import Final

from services.rollout.control import Control, Model
from services.rollout.domain.look import look
from services.rollout.domain.notice import gate_notices, opened_on
from services.rollout.domain.state_machine import State
from services.rollout.domain.verdict import Outcome
from services.rollout.messages import to_event
from services.rollout.notice_store import write_notices
from services.rollout.notices import rows_of
from services.rollout.store import Fenced
from slipway.errors import SlipwayError

log = logging.getLogger(__name__)

_LOOK_S: Final = 2.0
_TRIGGER: Final = "gate"


class GateWatch:
    """Looks at each live rollout; what it told is remembered, and stands in the table for a successor."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._told: dict[str, frozenset[str]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Look until `stop` is set.

        Raises:
            Fenced: Another process holds the lease.
        """
        while not stop.is_set():
            for name in self._control.names:
                await self._look_at(self._control.find(name))
            try:
                async with asyncio.timeout(_LOOK_S):
                    await stop.wait()
            except TimeoutError:
                continue

    async def _look_at(self, model: Model) -> None:
        if not model.policy.rollout.notify or not model.position.is_live:
            self._told.pop(model.name, None)
            return
        closed = {f"{model.position.rollout_id}/{key}": key for key in self._closed(model)}
        for full in closed.keys() - self._told.get(model.name, frozenset()):
            try:
                await self._tell(model.name, key=closed[full])
            except Fenced:
                raise
            except SlipwayError as error:
                log.warning("a notice of a gate must wait: %s", error)
                return
        self._told[model.name] = frozenset(closed)

    def _closed(self, model: Model) -> dict[str, str]:
        """What holds the version, by a key for each closing."""
        found = self._frozen(model)
        position, at = model.position, self._control.moment()
        if position.state in (State.WARMING, State.BAKE):
            return found
        seen = look(position, model.tally, model.policy, at)
        if seen.verdict.outcome is Outcome.HOLD and seen.closed_by and seen.closed_by in seen.verdict.reason:
            what = f"has passed step {position.step + 1} and is held: {seen.closed_by}"
            found[f"held/{position.step}/{seen.closed_by}"] = what
        return found

    def _frozen(self, model: Model) -> dict[str, str]:
        if model.position.state is State.BAKE:  # its end moves nobody
            return {}
        now_s = self._control.clock.now_s()
        opened = {window.name: opened_on(window, now_s=now_s) for window in model.policy.rollout.freeze}
        return {
            f"freeze/{name}/{day}": f"does not go on while freeze window {name!r} is open; "
            "harm would still take it back"
            for name, day in opened.items()
            if day
        }

    async def _tell(self, name: str, *, key: str) -> None:
        async with self._control.locked(name) as model:
            what = self._closed(model).get(key) if model.position.is_live else None
            if what is None or model.last is None:
                return
            notices = gate_notices(model.last, model.policy.rollout, key=key, what=what)
            if not notices:
                return
            champion = model.position.champion.version if model.position.champion else ""
            now_s = self._control.clock.now_s()
            now = replace(model.last, from_state=model.position.state, evidence={}, at_s=now_s)
            event = to_event(now, tenant=model.row.tenant, champion_version=champion)
            event.trigger, event.reason = _TRIGGER, what
            async with self._control.store.writing(self._control.writer) as connection:
                await write_notices(connection, rows_of(notices, event))
