"""What the store makes of a database that fails."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from services.rollout.store import Store
from slipway.errors import Conflict, SlipwayError, Unavailable


class FailingPool:
    """A database whose connections fail."""

    def __init__(self, failure: Exception) -> None:
        self._failure = failure

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[None]:
        raise self._failure
        yield


@pytest.mark.parametrize(
    ("failure", "becomes"),
    [
        (ConnectionRefusedError(), Unavailable),
        (asyncpg.InterfaceError("the connection is closed"), Unavailable),
        # Killed between two steps of one statement.
        (asyncpg.InternalClientError("cannot switch to state 12"), Unavailable),
        (asyncpg.UniqueViolationError("duplicate key"), Conflict),
    ],
)
async def test_a_database_that_fails_is_an_error_that_loops_survive(
    failure: Exception, becomes: type[SlipwayError]
) -> None:
    with pytest.raises(becomes):
        await Store(FailingPool(failure)).read_holder()
