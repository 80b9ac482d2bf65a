"""Feedback of authenticated callers: checked, signed, and safe on disk before it is acknowledged."""

import hashlib
from collections.abc import Sequence
from functools import partial

from services.gateway import metrics
from services.gateway.domain.feedback import FeedbackItem, check_count, check_item, subject_of
from services.gateway.limits.limits import Limits
from services.gateway.permissions import Permissions
from services.gateway.records import SOURCE
from services.gateway.spool import Spool
from slipway import tokens
from slipway.envelope import Outgoing, encode
from slipway.errors import Overloaded
from slipway.identity.authenticator import Authenticator
from slipway.identity.caller import Caller
from slipway.identity.credentials import Credentials
from slipway.topics import FEEDBACK
from slipway.v1.feedback_pb2 import FeedbackReceived


class FeedbackDoor:
    """Takes feedback for the topic `feedback`."""

    def __init__(
        self,
        authenticator: Authenticator,
        spool: Spool,
        *,
        permissions: Permissions,
        limits: Limits,
        token_secret: bytes,
    ) -> None:
        self._authenticator = authenticator
        self._permissions = permissions
        self._spool = spool
        self._limits = limits
        self._token_secret = token_secret

    def authenticate(self, credentials: Credentials) -> Caller:
        """Who sends it.

        Raises:
            Unauthenticated: Nobody known.
        """
        return self._authenticator.identify(credentials)

    async def take(self, items: Sequence[FeedbackReceived], *, caller: Caller, protocol: str) -> list[str]:
        """Accept all items or none; returns their ids in order.

        Raises:
            InvalidInput: Names the item and the field.
            Denied: He may not give feedback, or not on a model that he names.
            Overloaded: A limit is reached, or the disk space set aside for feedback is full.
        """
        reservation = await self._limits.patiently(
            partial(self._limits.reserve, caller, "", rows=len(items), counts="feedback")
        )
        try:
            ids = self._submit(items, caller=caller, protocol=protocol)
            reservation.settle()
        finally:
            reservation.release()
        return ids

    def _submit(self, items: Sequence[FeedbackReceived], *, caller: Caller, protocol: str) -> list[str]:
        check_count(len(items))
        for index, item in enumerate(items):
            check_item(_plain(item), index=index)
        self._permissions.give_feedback(caller, {item.model for item in items})
        if self._spool.is_full:
            raise Overloaded("earlier feedback fills the disk space set aside for it; send it again later")
        messages = [self._outgoing(item, caller) for item in items]
        self._spool.append(messages)
        metrics.FEEDBACK_ITEMS.labels(protocol).inc(len(items))
        return [item.feedback_id for item in items]

    def _outgoing(self, item: FeedbackReceived, caller: Caller) -> Outgoing:
        subject = subject_of(item.prediction_id, item.business_key)
        owner = tokens.Owner(caller.tenant, caller.principal)
        item.feedback_token = tokens.issue(self._token_secret, subject=subject, owner=owner)
        # The token stands for tenant and principal, so equal words of two senders stay two.
        item.feedback_id = item.feedback_id or content_id(item)
        return encode(FEEDBACK.name, item, key=subject, event_id=item.feedback_id, source=SOURCE)


def content_id(item: FeedbackReceived) -> str:
    """An id that is the same for the same words, so that a repeated call is not a second opinion."""
    return hashlib.blake2b(item.SerializeToString(deterministic=True), digest_size=16).hexdigest()


def _plain(item: FeedbackReceived) -> FeedbackItem:
    content = item.WhichOneof("content")
    value = getattr(item, content) if content else None
    return FeedbackItem(
        prediction_id=item.prediction_id,
        business_key=item.business_key,
        model=item.model,
        source=item.source,
        feedback_id=item.feedback_id,
        content=content,
        text=value if isinstance(value, str) else "",
        number=value if isinstance(value, float) else 0.0,
    )
