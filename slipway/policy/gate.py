"""Permissions on control ports: every call is an action of the table, asked before the handler sees it."""

from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from typing import Any, Final

import grpc
import grpc.aio

from slipway.errors import Denied, NotFound
from slipway.identity.caller import DEFAULT_TENANT, Caller
from slipway.policy.engine import UNDECIDED, Decision, Policies, is_stack
from slipway.policy.resource import EVERY_TENANT, Resource
from slipway.policy.routes import GRPC, By, Route
from slipway.rpc import aborting, caller

Find = Callable[[str], Resource | None]
_LONGEST_NAME: Final = 80
_DECISION: Final[ContextVar[Decision]] = ContextVar("slipway_policy_decision", default=UNDECIDED)


def decision_of_call() -> Decision:
    """What let the call in that is being answered; UNDECIDED where nobody calls."""
    return _DECISION.get()


def remember_decision(decision: Decision) -> None:
    """Let `decision_of_call` say what let this call in: the last decision counts."""
    _DECISION.set(decision)


def knows_no_models(_name: str) -> Resource | None:
    """For services whose methods name none."""
    return None


def seen_model(model: Resource | None, who: Caller, *, name: str) -> Resource:
    """A model that the caller may know of.

    Raises:
        NotFound: There is none, or it is another tenant's: both in the same words.
    """
    if model is None or (model.tenant != who.tenant and not is_stack(who)):
        raise NotFound(f"model {name[:_LONGEST_NAME]!r} is not known; `slipway models` lists those that are")
    return model


class PolicyGate(grpc.aio.ServerInterceptor):
    """Stands behind the interceptor that finds out who calls."""

    def __init__(self, policies: Policies, *, find: Find = knows_no_models) -> None:
        """Args beyond the obvious: `find` gives the model of a name as a resource."""
        self._policies = policies
        self._find = find

        async def refuse(_request: Any, context: Any) -> None:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "this method has no permission of its own")

        self._refusal: Any = grpc.unary_unary_rpc_method_handler(refuse)

    async def intercept_service(
        self, continuation: Callable[..., Any], details: grpc.HandlerCallDetails
    ) -> Any:
        """Put the question of the table before the handler."""
        route = GRPC.get(details.method)
        if route is None:
            return self._refusal
        handler = await continuation(details)
        if handler is None or route.by in (By.NOBODY, By.HANDLER):
            return handler
        return self._guarded(handler, route)

    def check(self, route: Route, request: Any, who: Caller) -> None:
        """Ask whether the caller may do what he asks for.

        Raises:
            Denied, NotFound: He may not.
        """
        if who.method == "service" and who.principal not in route.services:
            may = " and ".join(route.services) or "no service"
            raise Denied(f"the service {who.principal} does not make this call; {may} may")
        remember_decision(self._policies.authorize(who, route.action, self._resource(route, request, who)))

    def _resource(self, route: Route, request: Any, who: Caller) -> Resource:
        if route.by is By.CALLER:
            return Resource(tenant=who.tenant)
        if route.by is By.TENANT:
            return Resource(tenant=request.tenant or DEFAULT_TENANT)
        if route.by is By.TENANTS:
            return Resource(tenant=request.tenant or EVERY_TENANT)
        if not request.model:
            return Resource(tenant=EVERY_TENANT)
        return seen_model(self._find(request.model), who, name=request.model)

    def _guarded(self, handler: Any, route: Route) -> Any:
        coders = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(self._one(handler.unary_unary, route), **coders)
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(self._many(handler.unary_stream, route), **coders)
        if handler.stream_unary is not None:
            return grpc.stream_unary_rpc_method_handler(self._upload(handler.stream_unary, route), **coders)
        return self._refusal

    def _one(self, answer: Callable[..., Any], route: Route) -> Callable[..., Any]:
        async def guarded(request: Any, context: Any) -> Any:
            async with aborting(context):
                self.check(route, request, caller(context))
            return await answer(request, context)

        return guarded

    def _many(self, answer: Callable[..., Any], route: Route) -> Callable[..., Any]:
        async def guarded(request: Any, context: Any) -> AsyncIterator[Any]:
            async with aborting(context):
                self.check(route, request, caller(context))
            async for reply in answer(request, context):
                yield reply

        return guarded

    def _upload(self, answer: Callable[..., Any], route: Route) -> Callable[..., Any]:
        """The first message says what the stream is about."""

        async def guarded(requests: AsyncIterator[Any], context: Any) -> Any:
            async with aborting(context):
                first = await anext(aiter(requests), None)
                if first is None:
                    raise Denied("the stream has no first message that says what it is about")
                self.check(route, first, caller(context))
            return await answer(_again(first, requests), context)

        return guarded


async def _again(first: Any, rest: AsyncIterator[Any]) -> AsyncIterator[Any]:
    yield first
    async for message in rest:
        yield message
