"""What stands in the controller's way, and how it comes back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from tests.service_process import ServiceProcess


async def restart(service: ServiceProcess) -> None:
    service.start()
    await asyncio.to_thread(service.wait_ready)


@asynccontextmanager
async def held(dsn: str, statement: str) -> AsyncIterator[asyncpg.Connection]:
    """Something in the database, in the way of the controller."""
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        async with connection.transaction():
            await connection.execute(statement, timeout=30)
            yield connection
    finally:
        await connection.close()
