"""URLs into the private net, at every field that takes one: nobody there is reached, nothing is charged.

A server listens at 127.0.0.2 on the very port that the stack may fetch from at 127.0.0.1, so that nothing but the guard
keeps the stack from it. Answers of name servers that change between the check and the connection are
`tests/unit/remote/test_fetch.py`'s, where the resolver is ours.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.client import Client, problem
from tests.end_to_end.pictures_elsewhere import PictureServer
from tests.hostile.entries import BY_NAME, OPERATIONS, asked, check_answer, client_of, headers_for
from tests.hostile.picture_damage import good
from tests.hostile.watch import Watch
from tests.stack import Stack

SPELLINGS = (
    "127.0.0.2",
    "2130706434",
    "0x7f000002",
    "0x7f.0.0.2",
    "0177.0.0.2",
    "017700000002",
    "127.2",
    "127.0.2",
    "127.000.000.002",
    "[::ffff:127.0.0.2]",
    "[::ffff:7f00:2]",
    "[0:0:0:0:0:ffff:7f00:2]",
    "[::127.0.0.2]",
    "[64:ff9b::7f00:2]",
    "[64:ff9b::127.0.0.2]",
    "[2002:7f00:2::]",
    "[::1]",
    "[::]",
    "0.0.0.0",
    "0",
    "localhost",
    "LOCALHOST.",
    "localhost.localdomain",
    "①②⑦.⓪.⓪.②",
    "127。0。0。2",
    "127.0.0.2%00.example.com",
    "127.0.0.2.nip.io",
    "a@127.0.0.2",
    "127.0.0.2#@example.com",
    "127.0.0.2\\@example.com",
    "example.com@127.0.0.2",
    "%31%32%37.0.0.2",
)
ELSEWHERE = (
    "http://169.254.169.254/latest/meta-data/iam",
    "http://[fd00:ec2::254]/latest/meta-data",
    "http://100.100.100.200/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://[fe80::a9fe:a9fe]/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://10.0.0.1/",
    "http://172.16.0.1:8080/",
    "http://192.168.0.1/",
    "http://[fc00::1]/",
    "http://198.18.0.1/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://168.63.129.16/",
    "file:///etc/passwd",
    "ftp://127.0.0.1/",
    "gopher://127.0.0.1:6379/_INFO",
    "dict://127.0.0.1:11211/stats",
    "ldap://127.0.0.1/",
    "jar:http://a!/",
    "data:image/png;base64,iVBORw0KGgo=",
    "javascript:alert(1)",
    "http:127.0.0.2",
    "http:///127.0.0.2",
    "//127.0.0.2/",
    "http://",
    "http://[",
    "http://]",
    "http://[::1",
    "http://a b/",
    "http://\u0000/",
    "http://a:99999/",
    "http://a:-1/",
    "\u202e",
)


_URL_NAME = re.compile(r'"\w*url": {', re.IGNORECASE)


class Canary:
    """Listens where nobody may come, and counts who does."""

    def __init__(self, host: str, port: int) -> None:
        self.visits = 0
        self._listening = socket.create_server((host, port))
        self._listening.settimeout(0.2)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._accept, name="canary", daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._listening.accept()
            except TimeoutError:
                continue
            self.visits += 1
            connection.close()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._listening.close()


@pytest.fixture
def canary(elsewhere: PictureServer) -> Iterator[Canary]:
    """At another address of this machine, on the port that is allowed."""
    made = Canary("127.0.0.2", elsewhere.server_port)
    yield made
    made.close()


def _asks(url: str) -> dict[str, tuple[str, Any]]:
    """Every operation that takes a URL: its name, the path it stands in, and a body that names the URL."""
    job = {"model": "classical/upscale", "params": {"scale": 2}, "input": {"url": url}}
    return {
        "fetch-asset": ("/v1/assets:fetch", {"url": url}),
        "submit-job": ("/v1/jobs", job),
        "submit-batch": ("/v1/jobs:batch", {"jobs": [job]}),
        "estimate": ("/v1/estimate", {"jobs": [job]}),
        "pix-loom-generate": ("/api/ai/generate", {"operationType": "enhancement", "originalImageUrl": url}),
    }


def test_every_field_that_takes_a_url_is_among_them() -> None:
    """Names that end in `url`, wherever they stand in a body's schema."""
    models = {row.name: row.body.model for row in OPERATIONS if row.body is not None and row.body.model is not None}
    taking = {name for name, model in models.items() if _URL_NAME.search(json.dumps(model.model_json_schema()))}
    assert taking - set(_asks("")) <= {"studio-delete-image"}  # which names a result of one's own and fetches nothing


def _private(elsewhere: PictureServer) -> list[str]:
    places = [f"http://{spelling}:{elsewhere.server_port}/secret" for spelling in SPELLINGS]
    return [*places, f"https://127.0.0.2:{elsewhere.server_port}/", *ELSEWHERE]


@pytest.mark.parametrize("name", _asks(""))
async def test_private_places_are_not_reached(
    stack: Stack, watch: Watch, elsewhere: PictureServer, canary: Canary, name: str
) -> None:
    operation, jobs = BY_NAME[name], 0
    async with client_of(stack, headers_for(stack, operation)) as client:
        for url in [*_private(elsewhere), *_redirects(elsewhere)]:
            path, body = _asks(url)[name]
            with watch.timed(f"{name}: {url[:80]}"):
                answer = await asked(client, "POST", path, json=body)
            check_answer(operation, answer)
            if operation.name in ("submit-batch", "estimate") and answer.is_success:
                assert not any(row.get("id") for row in answer.json().get("results", answer.json().get("jobs", ())))
            else:
                assert 400 <= answer.status_code < 500, f"{url}: {answer.status_code} {answer.text[:200]}"
        rows = await asked(client, "GET", "/v1/jobs")
        jobs = len(rows.json()["data"]) if rows.is_success else 0
    assert jobs == 0
    assert canary.visits == 0


def _redirects(elsewhere: PictureServer) -> list[str]:
    """URLs of the server that is allowed, each of which leads to a private place."""
    targets = _private(elsewhere)
    for number, target in enumerate(targets):
        if target.isascii() and target.isprintable():
            elsewhere.redirects[f"/away-{number}"] = target
    elsewhere.redirects |= {"/loop": f"{elsewhere.url}/loop", "/empty": ""}
    elsewhere.redirects |= {f"/hop-{n}": f"{elsewhere.url}/hop-{n + 1}" for n in range(6)}
    return [f"{elsewhere.url}{path}" for path in elsewhere.redirects]


async def test_our_own_host_spelled_strangely_is_no_way_in(stack: Stack, elsewhere: PictureServer) -> None:
    """URLs below our own address are read as our own media; what is none of those is fetched like any other."""
    async with Client(stack) as client:
        for tail in (
            "//[",
            "/v1/media/..%2f..",
            "/metrics",
            "/v1/media/asset_a/../../x",
            "@127.0.0.2/",
            "/\\",
            "?",
            "#",
        ):
            answer = await client.http.post("/v1/assets:fetch", json={"url": stack.url + tail})
            problem(answer, 400, "url")
        elsewhere.pictures["/good.jpg"] = good("jpeg")
        good_one = await client.http.post("/v1/assets:fetch", json={"url": f"{elsewhere.url}/good.jpg"})
        assert good_one.status_code == 201, good_one.text
