"""The health server that each worker carries."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from infra.health import serve_health
from infra.local.ports import free_ports


async def test_health_follows_the_process_and_metrics_are_text() -> None:
    well = True
    (port,) = free_ports(1)
    task = asyncio.create_task(serve_health(port, lambda: well))
    transport = httpx.AsyncHTTPTransport(retries=5)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", transport=transport) as client:
            assert (await client.get("/healthz")).status_code == 200
            well = False
            assert (await client.get("/healthz")).status_code == 503
            metrics = await client.get("/metrics")
            assert "python_info" in metrics.text
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_taken_port_raises() -> None:
    (port,) = free_ports(1)
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", port)
    async with server:
        with pytest.raises(OSError, match="in use"):
            await serve_health(port, lambda: True)
