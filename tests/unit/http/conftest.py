"""Servers and clocks of several tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.http.google import GoogleVerifier
from tests.unit.http.google_keys import CLIENT, ISSUER, Clock, KeyServer


@pytest.fixture
def server() -> Iterator[KeyServer]:
    made = KeyServer()
    yield made
    made.stop()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def verifier(server: KeyServer, clock: Clock) -> GoogleVerifier:
    return GoogleVerifier(CLIENT, server.url, ISSUER, now_s=clock.now_s, monotonic=clock.monotonic)
