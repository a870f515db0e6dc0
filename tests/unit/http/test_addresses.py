"""Client addresses: the peer's, unless a trusted proxy says otherwise; shown over a real connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from infra.http.addresses import UNKNOWN, AddressHasher, client_address, server_arguments
from infra.http.protocol import LimitedProtocol
from infra.settings import GatewaySettings


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    await PlainTextResponse(client_address(Request(scope).scope))(scope, receive, send)


@asynccontextmanager
async def server(*trusted: str) -> AsyncIterator[str]:
    """A server with the gateway's settings for these proxies; its URL."""
    config = uvicorn.Config(
        _echo, port=0, http=LimitedProtocol, lifespan="off", log_config=None, **server_arguments(trusted)
    )
    made = uvicorn.Server(config)
    task = asyncio.create_task(made.serve())
    try:
        async with asyncio.timeout(10):
            while not made.started:
                await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{made.servers[0].sockets[0].getsockname()[1]}"
    finally:
        made.should_exit = True
        await task


async def asked(url: str, *forwarded: str) -> str:
    """The address that the application sees."""
    headers = [("X-Forwarded-For", value) for value in forwarded]
    async with httpx.AsyncClient() as http:
        return (await http.get(url, headers=headers)).text


async def test_nobody_but_a_trusted_proxy_is_believed() -> None:
    async with server() as url:
        assert await asked(url, "203.0.113.9") == "127.0.0.1"
    async with server("10.0.0.0/8") as url:
        assert await asked(url, "203.0.113.9") == "127.0.0.1"


async def test_a_trusted_proxy_tells_the_last_address_that_is_no_proxy() -> None:
    async with server("127.0.0.1", "10.0.0.0/8") as url:
        assert await asked(url) == "127.0.0.1"
        assert await asked(url, "203.0.113.9") == "203.0.113.9"
        assert await asked(url, "198.51.100.1, 203.0.113.9, 10.1.2.3") == "203.0.113.9"
        assert await asked(url, "198.51.100.1", "203.0.113.9") == "203.0.113.9"
        assert await asked(url, "[2001:DB8::1]:443") == "2001:db8::1"
        assert await asked(url, "somebody") == UNKNOWN


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("::ffff:10.0.0.1", 5), "10.0.0.1"),
        (("2001:DB8:0::1", 5), "2001:db8::1"),
        (("fe80::1%eth0", 5), "fe80::1"),
        (("unix", 0), UNKNOWN),
        (None, UNKNOWN),
    ],
)
def test_one_address_has_one_form(client: object, address: str) -> None:
    assert client_address({"type": "http", "client": client}) == address


def test_hashes_tell_addresses_apart_and_need_the_key() -> None:
    one, two = ({"type": "http", "client": (peer, 1)} for peer in ("10.0.0.1", "10.0.0.2"))
    hasher = AddressHasher(b"a" * 32)
    assert hasher.of(one) == AddressHasher(b"a" * 32).of(one)
    assert hasher.of(one) != hasher.of(two)
    assert hasher.of(one) != AddressHasher(b"b" * 32).of(one)
    assert len(hasher.of(one)) == len("addr_") + 26


@pytest.mark.parametrize("proxy", ["*", "proxy.example", "10.0.0.1/8", ""])
def test_a_proxy_is_named_by_its_address(proxy: str) -> None:
    with pytest.raises(ValueError, match="neither an IP address nor a network"):
        GatewaySettings(trusted_proxies=(proxy,))
