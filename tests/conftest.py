"""Fixtures that all tests share: the real servers and the settings that point at them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from infra.garbage import collect_seldom
from infra.settings import Settings
from tests.servers import LocalServers, Servers

CONTRACT_CHECK = "contract"  # the property of a report that names the document, the endpoint and the section


def pytest_configure() -> None:
    """A trace in a log is a few lines; the pretty ones with all locals take seconds each."""
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.stdlib.add_log_level, plain])


def pytest_collection_finish() -> None:
    """What is imported and collected by now stays: a look for cycles through all of it takes a tenth of a second."""
    collect_seldom()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--servers",
        choices=("local", "testcontainers"),
        default=None,
        help="where Kafka, S3, PostgreSQL and Triton come from (default: local children)",
    )


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The session's servers; ask with ``servers.need("kafka", "s3")``."""
    made = _make(request.config.getoption("--servers"), tmp_path_factory.mktemp("servers"))
    try:
        yield made
    finally:
        made.stop()


def _make(chosen: str | None, root: Path) -> Servers:
    automatic = chosen is None and os.environ.get("DARKROOM_TEST_SERVERS") == "auto"
    if chosen == "testcontainers" or automatic:
        from tests.containers import ContainerServers, docker_answers

        if chosen is not None or docker_answers():
            return ContainerServers(root)
    return LocalServers(root)


@pytest.fixture(scope="session")
def kafka(servers: Servers) -> Settings:
    """Settings whose Kafka runs and has its topics."""
    return servers.need("kafka")


@pytest.fixture(scope="session")
def s3(servers: Servers) -> Settings:
    """Settings whose S3 runs and has its bucket."""
    return servers.need("s3")


@pytest.fixture(scope="session")
def postgres(servers: Servers) -> Settings:
    """Settings whose PostgreSQL runs and has its empty database."""
    return servers.need("postgres")


@pytest.fixture(scope="session")
def triton(servers: Servers) -> Settings:
    """Settings whose Triton serves the model repository."""
    return servers.need("triton")


@pytest.fixture(scope="session")
def settings(servers: Servers) -> Settings:
    """Settings that point at all four servers, running."""
    return servers.need("kafka", "s3", "postgres", "triton")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The table of what was checked of each documented endpoint. It stands here for the process that runs no test."""
    passed: Counter[tuple[str, str]] = Counter()
    checks: Counter[tuple[str, str]] = Counter()
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.getreports(outcome):
            for document, endpoint, _ in (value for name, value in report.user_properties if name == CONTRACT_CHECK):
                checks[document, endpoint] += 1
                passed[document, endpoint] += outcome == "passed"
    if not checks:
        return
    terminalreporter.section("documents, endpoints, checks passed of checks")
    for (document, endpoint), count in sorted(checks.items()):
        terminalreporter.write_line(f"{document}  {endpoint:<48} {passed[document, endpoint]:>3} of {count}")
    terminalreporter.write_line(f"all  {'':<48} {passed.total():>3} of {checks.total()}")
