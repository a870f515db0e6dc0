"""Fetching remote pictures: hostile URLs, names, redirects and servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import httpcore
import pytest

from infra.remote.fetch import GuardedFetcher, Patience, RemoteRefused, Resolve
from infra.remote.memory import MemoryFetcher
from infra.remote.settings import RemoteSettings, load_remote_settings
from infra.settings import SettingsError
from tests.unit.remote.server import Network, WebServer, web_server

PUBLIC = "93.184.216.34"
BODY = bytes(range(256)) * 400


@pytest.fixture
async def server() -> AsyncIterator[WebServer]:
    async with web_server() as made:
        made.says("/a", BODY)
        yield made


def names(**known: Sequence[str]) -> Resolve:
    """A resolver of `picture.example` and the like; numeric hosts are themselves."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        name = host.removesuffix(".example")
        return known.get(name, [host])

    return resolve


def fetcher(server: WebServer, **known: Sequence[str]) -> tuple[GuardedFetcher, Network]:
    """A fetcher whose public addresses all lead to the server."""
    network = Network(server.port)
    patience = Patience(connect_s=0.5, total_s=1.0)
    return GuardedFetcher(patience=patience, resolve=names(**(known or {"a": [PUBLIC]})), backend=network), network


async def fetched(fetcher: GuardedFetcher, url: str, bytes_max: int = 1 << 20) -> bytes:
    return b"".join([chunk async for chunk in fetcher.chunks(url, bytes_max)])


async def test_a_public_picture_comes_over_the_checked_address(server: WebServer) -> None:
    guarded, network = fetcher(server)
    assert await fetched(guarded, "http://a.example/a") == BODY
    assert network.asked == [(PUBLIC, 80)]
    (head,) = server.heads
    assert head.startswith("GET /a HTTP/1.1\r\nHost: a.example\r\n")
    assert "cookie" not in head.lower()
    assert "authorization" not in head.lower()


HOSTILE = [
    "",
    "a",
    "//a.example/a",
    "ftp://a.example/a",
    "file:///etc/passwd",
    "gopher://a.example/a",
    "data:image/png;base64,AAAA",
    "http://",
    "http:///a",
    "http://user@a.example/a",
    "http://user:password@a.example/a",
    "http://:secret@a.example/a",
    "http://a.example:22/a",
    "http://a.example:6379/a",
    "http://a.example:0/a",
    "http://a.example:99999/a",
    "http://a.example:port/a",
    "http://a.example/\r\nX: 1",
    "http://a.example/" + "a" * 2_000,
    "http://127.0.0.1/a",
    "http://127.0.0.1:8080/a",
    "http://[::1]/a",
    "http://[::ffff:127.0.0.1]/a",
    "http://[::ffff:7f00:1]/a",
    "http://[fe80::1%25eth0]/a",
    "http://[fd00:ec2::254]/latest/meta-data",
    "http://169.254.169.254/latest/meta-data",
    "http://100.100.100.200/latest/meta-data",
    "http://0.0.0.0/a",
    "http://0/a",
    "http://10.0.0.1/a",
    "http://192.168.0.1/a",
    "http://224.0.0.1/a",
    "http://255.255.255.255/a",
    "http://[64:ff9b::7f00:1]/a",
    "http://[2002:7f00:1::]/a",
    "https://127.0.0.1/a",
]


@pytest.mark.parametrize("url", HOSTILE)
async def test_hostile_urls_reach_nothing(server: WebServer, url: str) -> None:
    guarded, network = fetcher(server)
    with pytest.raises(RemoteRefused):
        await fetched(guarded, url)
    assert network.asked == []


SPELLINGS = ["127.1", "2130706433", "0x7f.0.0.1", "0x7f000001", "0177.0.0.1", "localhost", "localhost.", "LOCALHOST"]


@pytest.mark.parametrize("host", SPELLINGS)
async def test_other_spellings_of_this_machine_reach_nothing(server: WebServer, host: str) -> None:
    network = Network(server.port)
    with pytest.raises(RemoteRefused):
        await fetched(GuardedFetcher(backend=network), f"http://{host}/a")  # the system's own resolver
    assert network.asked == []


async def test_a_name_with_one_private_address_among_others_is_refused(server: WebServer) -> None:
    for addresses in ([PUBLIC, "10.0.0.1"], ["::1"], [PUBLIC] * 5 + ["127.0.0.1"], []):
        guarded, network = fetcher(server, a=addresses)
        with pytest.raises(RemoteRefused):
            await fetched(guarded, "http://a.example/a")
        assert network.asked == []


async def test_a_name_server_that_changes_its_mind_changes_nothing(server: WebServer) -> None:
    answers = iter([[PUBLIC], ["127.0.0.1"], ["127.0.0.1"]])
    asked = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return next(answers)

    network = Network(server.port)
    guarded = GuardedFetcher(resolve=resolve, backend=network)
    assert await fetched(guarded, "http://a.example/a") == BODY
    assert (asked, network.asked) == (["a.example"], [(PUBLIC, 80)])
    with pytest.raises(RemoteRefused):
        await fetched(guarded, "http://a.example/a")
    assert len(network.asked) == 1


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.1/a", "http://inside.example/a", "file:///etc/passwd", "http://u:p@a.example/a", "//[::1]/a"],
)
async def test_a_redirect_is_checked_like_any_url(server: WebServer, target: str) -> None:
    guarded, network = fetcher(server, a=[PUBLIC], **{"in": ["192.168.0.7"]})
    server.redirects("/r", target)
    with pytest.raises(RemoteRefused):
        await fetched(guarded, "http://a.example/r")
    assert network.asked == [(PUBLIC, 80)]


async def test_three_redirects_are_followed_and_no_more(server: WebServer) -> None:
    guarded, network = fetcher(server, a=[PUBLIC], b=["8.8.8.8"])
    server.redirects("/1", "/2")
    server.redirects("/2", "http://b.example/3")
    server.redirects("/3", "a?x=1#y")
    server.says("/a?x=1", BODY)
    assert await fetched(guarded, "http://a.example/1") == BODY
    assert [address for address, _ in network.asked] == [PUBLIC, PUBLIC, "8.8.8.8", "8.8.8.8"]
    server.redirects("/0", "/1")
    with pytest.raises(RemoteRefused, match="more than 3 times"):
        await fetched(guarded, "http://a.example/0")


async def test_a_redirect_to_nowhere_is_refused(server: WebServer) -> None:
    guarded, _ = fetcher(server)
    server.says("/none", b"", "302 Found")
    server.redirects("/bad", "http://[")
    server.says("/bytes", b"", "302 Found", Location="http://a.example/\xfc")
    for path in ("/none", "/bad", "/bytes"):
        with pytest.raises(RemoteRefused):
            await fetched(guarded, f"http://a.example{path}")


async def test_the_next_address_is_tried_where_one_does_not_answer(server: WebServer) -> None:
    class HalfDown(Network):
        async def connect_tcp(self, host: str, port: int, *rest: object, **more: object) -> httpcore.AsyncNetworkStream:
            if host == "2606:4700::1":
                self.asked.append((host, port))
                raise httpcore.ConnectError("no route")
            return await super().connect_tcp(host, port)

    network = HalfDown(server.port)
    guarded = GuardedFetcher(resolve=names(a=["2606:4700::1", PUBLIC]), backend=network)
    assert await fetched(guarded, "http://a.example/a") == BODY
    assert network.asked == [("2606:4700::1", 80), (PUBLIC, 80)]


async def test_allowed_servers_may_be_private_on_their_port_alone(server: WebServer) -> None:
    own = GuardedFetcher([("127.0.0.1", server.port)])
    assert await fetched(own, f"http://127.0.0.1:{server.port}/a") == BODY
    assert await fetched(own, f"http://localhost:{server.port}/a") == BODY
    named = GuardedFetcher([("localhost", server.port)], resolve=names(localhost=["127.0.0.1"]))
    assert await fetched(named, f"http://LOCALHOST:{server.port}/a") == BODY
    for guarded in (GuardedFetcher(), GuardedFetcher([("127.0.0.1", 1)]), GuardedFetcher([("10.0.0.1", server.port)])):
        with pytest.raises(RemoteRefused):
            await fetched(guarded, f"http://127.0.0.1:{server.port}/a")
    public, network = GuardedFetcher([("10.0.0.1", 9000)]), Network(server.port)
    public = GuardedFetcher([("10.0.0.1", 9000)], resolve=names(a=[PUBLIC]), backend=network)
    with pytest.raises(RemoteRefused):
        await fetched(public, "http://a.example:9000/a")  # the port is open there alone
    assert network.asked == []


def test_the_setting_holds_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert RemoteSettings().allow == ()
    monkeypatch.setenv("DARKROOM_REMOTE_FETCH_ALLOW", "127.0.0.1:9000, Pictures.internal:80,[::1]:8080")
    assert RemoteSettings().allow == (("127.0.0.1", 9000), ("pictures.internal", 80), ("::1", 8080))
    monkeypatch.setenv("DARKROOM_REMOTE_FETCH_ALLOW", "nonsense")
    with pytest.raises(SettingsError, match="DARKROOM_REMOTE_FETCH_ALLOW is not usable: 'nonsense' is no host:port"):
        load_remote_settings()


async def test_pictures_in_memory_are_fetched_the_same_way() -> None:
    memory = MemoryFetcher({"http://a.example/a": BODY})
    assert b"".join([chunk async for chunk in memory.chunks("http://a.example/a", 1 << 20)]) == BODY
    for url, bytes_max in (("http://a.example/b", 1 << 20), ("http://a.example/a", 10)):
        with pytest.raises(RemoteRefused):
            await anext(memory.chunks(url, bytes_max))
