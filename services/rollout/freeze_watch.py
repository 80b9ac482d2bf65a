"""Tells the receivers of a live rollout that a freeze window has opened. No entry of the log says it."""

import asyncio
import logging
from dataclasses import replace
from typing import Final

from services.rollout.control import Control, Model
from services.rollout.domain.notice import freeze_notices, opened_on
from services.rollout.messages import to_event
from services.rollout.notice_store import write_notices
from services.rollout.notices import rows_of
from services.rollout.store import Fenced
from slipway.errors import SlipwayError

log = logging.getLogger(__name__)

_LOOK_S: Final = 2.0
_TRIGGER: Final = "freeze"


class FreezeWatch:
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
        rollout = model.spec.rollout
        if not rollout.notify or not model.position.is_live:
            self._told.pop(model.name, None)
            return
        now_s = self._control.clock.now_s()
        opened = {window.name: opened_on(window, now_s=now_s) for window in rollout.freeze}
        news = {
            f"{model.position.rollout_id}/{name}/{day}": (name, day) for name, day in opened.items() if day
        }
        for key in news.keys() - self._told.get(model.name, frozenset()):
            try:
                await self._tell(model.name, window=news[key][0], day=news[key][1], now_s=now_s)
            except Fenced:
                raise
            except SlipwayError as error:
                log.warning("a notice of a freeze window must wait: %s", error)
                return
        self._told[model.name] = frozenset(news)

    async def _tell(self, name: str, *, window: str, day: str, now_s: float) -> None:
        async with self._control.locked(name) as model:
            if not model.position.is_live or model.last is None:
                return
            notices = freeze_notices(model.last, model.spec.rollout, window=window, day=day)
            if not notices:
                return
            champion = model.position.champion.version if model.position.champion else ""
            now = replace(model.last, from_state=model.position.state, evidence={}, at_s=now_s)
            event = to_event(now, tenant=model.row.tenant, champion_version=champion)
            event.trigger, event.reason = _TRIGGER, notices[0].text
            async with self._control.store.writing(self._control.writer) as connection:
                await write_notices(connection, rows_of(notices, event))
