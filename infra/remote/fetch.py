"""Fetching what a client's URL names, without letting the client reach anything that only we can reach.

Theory of operation. A URL is checked (scheme, port, no credentials), its host is resolved once, every address that
comes out is checked, and the connection goes to a checked address and not to the name: a name server that answers
something else the next time changes nothing. TLS still verifies the name. Redirects are checked the same way.
No proxy is used, no cookie is kept, no connection is shared between fetches, and bodies are taken as they are: packed
ones would grow here beyond what was counted. One deadline holds for everything from the first lookup to the last byte.

    url -> checked -> resolved -> all addresses public? -> connect to one -> 3xx: again, at most REDIRECTS_MAX times
                                                                          -> 200: the body, at most `bytes_max`

What a client is told never says which of the network's reasons it was: answers must not map the network behind us.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import httpcore
import httpx

from infra.remote.addresses import is_public
from infra.remote.settings import HostPort

URL_CHARS_MAX = 2_000
REDIRECTS_MAX = 3
_DEFAULT_PORTS = {"http": 80, "https": 443}
_PORTS = frozenset({80, 443, 8080, 8443})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ADDRESSES_MAX = 3
_LOOKUPS = ThreadPoolExecutor(16, thread_name_prefix="lookup")
_HEADERS = [(b"User-Agent", b"darkroom"), (b"Accept", b"image/*"), (b"Accept-Encoding", b"identity")]
_FAULTS = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, ssl.SSLError, OSError)

T = TypeVar("T")
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class RemoteRefused(Exception):
    """The picture cannot be had; the message is one sentence for the client."""


class RemoteFetcher(Protocol):
    """Where remote pictures come from."""

    def chunks(self, url: str, bytes_max: int) -> AsyncGenerator[bytes]:
        """The bytes at the URL. Raises RemoteRefused, also in the middle; close it when it is left early."""
        ...


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds for a connection, and for the whole fetch with its redirects."""

    connect_s: float = 5.0
    total_s: float = 20.0


class GuardedFetcher:
    """`RemoteFetcher` over the network. `allowed` may be private and have any port: names or addresses."""

    def __init__(
        self,
        allowed: Collection[HostPort] = (),
        *,
        patience: Patience = Patience(),
        resolve: Resolve | None = None,
        backend: httpcore.AsyncNetworkBackend | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`resolve`, `backend` and `tls` take the places of the system's resolver, TCP and trust, in tests."""
        self._allowed = frozenset(allowed)
        self._patience = patience
        self._network = _CheckedNetwork(self._allowed, resolve or resolved, backend or httpcore.AnyIOBackend())
        self._tls = tls

    async def chunks(self, url: str, bytes_max: int) -> AsyncGenerator[bytes]:
        """See `RemoteFetcher`."""
        deadline = asyncio.get_running_loop().time() + self._patience.total_s
        place = self._checked(url)
        for _ in range(REDIRECTS_MAX + 1):
            async with self._answer(place, deadline) as answer:
                if answer.status not in _REDIRECTS:
                    async for chunk in _body(answer, bytes_max, deadline):
                        yield chunk
                    return
                place = self._checked(_location(answer, place))
        raise RemoteRefused(f"The server redirects more than {REDIRECTS_MAX} times.")

    def _checked(self, url: str) -> httpx.URL:
        """The URL, if it is one that may be asked."""
        if len(url) > URL_CHARS_MAX:
            raise RemoteRefused(f"The URL has more than {URL_CHARS_MAX} characters.")
        try:
            place = httpx.URL(url)
        except (httpx.InvalidURL, ValueError) as error:
            raise RemoteRefused("This is no URL.") from error
        default = _DEFAULT_PORTS.get(place.scheme)
        if default is None or not place.host:
            raise RemoteRefused("Only http and https URLs with a host are fetched.")
        if place.userinfo:
            raise RemoteRefused("URLs with a user or password are not fetched.")
        port = default if place.port is None else place.port
        if port not in _PORTS and all(port != allowed for _, allowed in self._allowed):
            raise RemoteRefused(f"Servers on port {port} are not asked.")
        return place

    @asynccontextmanager
    async def _answer(self, place: httpx.URL, deadline: float) -> AsyncIterator[httpcore.Response]:
        if self._tls is None and place.scheme == "https":
            self._tls = await asyncio.to_thread(httpcore.default_ssl_context)
        target = httpcore.URL(
            scheme=place.raw_scheme, host=place.raw_host, port=place.port, target=place.raw_path or b"/"
        )
        request = httpcore.Request(
            "GET",
            target,
            headers=[(b"Host", place.netloc), *_HEADERS],
            extensions={"timeout": {"connect": self._patience.connect_s, "read": self._patience.total_s}},
        )
        async with httpcore.AsyncConnectionPool(
            ssl_context=self._tls, max_keepalive_connections=0, network_backend=self._network
        ) as pool:
            answer = await _within(deadline, pool.handle_async_request(request))
            try:
                yield answer
            finally:
                await answer.aclose()


class _CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to checked addresses only, whatever name it is asked for."""

    def __init__(self, allowed: frozenset[HostPort], resolve: Resolve, backend: httpcore.AsyncNetworkBackend) -> None:
        self._allowed, self._resolve, self._backend = allowed, resolve, backend

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        async with asyncio.timeout(timeout):
            addresses = await self._resolve(host, port)
            if not addresses or not all(self._may(host, address, port) for address in addresses):
                raise httpcore.ConnectError("no address that may be connected to")
            first, *others = addresses[:_ADDRESSES_MAX]
            for address in others:
                try:
                    return await self._backend.connect_tcp(first, port, (timeout or 1.0) / _ADDRESSES_MAX)
                except (httpcore.ConnectError, httpcore.ConnectTimeout):
                    first = address
            return await self._backend.connect_tcp(first, port, timeout)

    def _may(self, host: str, address: str, port: int) -> bool:
        if (host.lower(), port) in self._allowed or (address, port) in self._allowed:
            return True
        return port in _PORTS and is_public(address)


async def resolved(host: str, port: int) -> Sequence[str]:
    """The numeric addresses of a host, in the system's order. Raises OSError."""
    look_up = asyncio.get_running_loop().run_in_executor(
        _LOOKUPS, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    )
    return list(dict.fromkeys(str(row[4][0]) for row in await look_up))


async def _body(answer: httpcore.Response, bytes_max: int, deadline: float) -> AsyncIterator[bytes]:
    if answer.status != 200:
        raise RemoteRefused(f"The server answered {answer.status} and not 200.")
    headers = {name.lower(): value for name, value in answer.headers}
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise RemoteRefused("The server sent the picture packed.")
    declared, size = headers.get(b"content-length", b""), 0
    too_large = RemoteRefused(f"The picture has more than {bytes_max} bytes.")
    if declared.isdigit() and int(declared) > bytes_max:
        raise too_large
    chunks = answer.aiter_stream()
    while (chunk := await _within(deadline, anext(chunks, None))) is not None:
        size += len(chunk)
        if size > bytes_max:
            raise too_large
        yield chunk


def _location(answer: httpcore.Response, place: httpx.URL) -> str:
    for name, value in answer.headers:
        if name.lower() == b"location":
            try:
                return str(place.join(value.decode("ascii")))
            except (UnicodeDecodeError, httpx.InvalidURL, ValueError) as error:
                raise RemoteRefused("The server redirects to no URL.") from error
    raise RemoteRefused("The server redirects to no URL.")


async def _within(deadline: float, step: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout_at(deadline):
            return await step
    except TimeoutError as error:
        raise RemoteRefused("The server took too long.") from error
    except _FAULTS as error:
        raise RemoteRefused("The host is unknown, not public, or did not answer as a web server does.") from error
