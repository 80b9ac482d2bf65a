"""/v2 by its own OpenAPI description: whatever schemathesis makes of it, answers fit and none is a crash."""

from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings

from slipway.http_protocol import EXTENSION
from tests.gateway import rest_stand_in
from tests.gateway.rest_stand_in import HEADERS


class _Caller:
    answering = None
    is_gone = False
    certificate = b""


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await _FRONT({**scope, "extensions": {EXTENSION: _Caller()}}, receive, send)


_FRONT = rest_stand_in.behind().front
schema = schemathesis.openapi.from_asgi("/openapi.json", _app).include(path_regex="^/v2")


@schema.parametrize()
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_what_the_description_allows_and_what_it_does_not_meets_a_described_answer(case: Any) -> None:
    response = case.call(headers=HEADERS)
    assert response.status_code < 500 or response.status_code in (501, 503), response.text
    described = case.operation.responses
    assert str(response.status_code) in described.status_codes or response.status_code in (404, 405)
