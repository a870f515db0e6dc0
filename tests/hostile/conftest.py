"""One stack for all hostile input, and the watch that is kept on it from the first request to the last."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from infra.cli.gateway import operations_of
from tests.end_to_end.pictures_elsewhere import PictureServer, picture_server
from tests.hostile.watch import Watch
from tests.stack import Stack

_MANY = 1_000_000


def environment(place: str) -> dict[str, str]:
    """A stack that believes in forwarded addresses, fetches from `place`, counts no window full and never sheds load.

    What is refused here is refused for what it is, and not because this machine is busy.
    """
    amounts = {limit.name: _MANY for operation in operations_of("all") for limit in operation.limits}
    return {
        "DARKROOM_GATEWAY__TRUSTED_PROXIES": '["127.0.0.1"]',
        "DARKROOM_REMOTE_FETCH_ALLOW": place,
        "DARKROOM_GATEWAY__LOOP_LAG_MAX_MS": "120000",
        "DARKROOM_GATEWAY__BEHIND_AFTER_MS": "120000",
        "DARKROOM_LIMITS__AMOUNTS": json.dumps(amounts),
        "DARKROOM_LIMITS__REQUESTS": str(_MANY),
        "DARKROOM_LIMITS__UPLOADS": str(_MANY),
    }


@pytest.fixture(scope="package")
def elsewhere() -> Iterator[PictureServer]:
    """A web server that the stack may fetch pictures from, although its address is private."""
    with picture_server() as server:
        yield server


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory, elsewhere: PictureServer) -> Iterator[Stack]:
    """``darkroom up``, ready."""
    made = Stack(tmp_path_factory.mktemp("hostile") / "data", environment(elsewhere.place))
    try:
        made.start()
        made.wait_healthy()
        yield made
        if made.runs:
            made.stop()
    finally:
        made.kill()


@pytest.fixture(scope="package")
def watch(stack: Stack) -> Iterator[Watch]:
    """What is known of the stack's processes since before the first hostile byte."""
    with Watch(stack) as kept:
        yield kept


@pytest.fixture(autouse=True)
def _watched(request: pytest.FixtureRequest) -> None:
    """Whatever needs the stack is watched."""
    if "stack" in request.fixturenames:
        request.getfixturevalue("watch")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in Watch.told:
        terminalreporter.write_line(line)
