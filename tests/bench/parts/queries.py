"""Reads by HTTP with a million jobs in the read model: a job by its id, and pages of an account's history.

Beside one handler with one select each, on the same pool and driver. On servers of its own, because its jobs were never
decided (`tests.bench.many_jobs`).
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence
from typing import Any

import httpx
from msgspec import Struct

from tests.bench.children import answers, free_port, stack
from tests.bench.clients import measured, tokens
from tests.bench.load import Load, Shape
from tests.bench.many_jobs import VERSIONS_A_JOB, accounts_of_tokens, job_id, make_jobs
from tests.bench.measure import Figure, check, pair
from tests.bench.station import HOST, Bench, Station

ACCOUNTS = 50
JOBS_AN_ACCOUNT = 20_000
ASKED_JOBS = 5_000
PAGE_ROWS = 50
DEPTH_ROWS = 10_000
DEPTH_PAGE_ROWS = 1_000
CONNECTIONS = 64
RUN_S = 1.0
WARM_S = 2.0


class Kind(Struct, frozen=True):
    """What is asked of both sides, shape by shape the same rows. A goal of 0 is not stated."""

    name: str
    against: str
    goal: float
    ours: tuple[Shape, ...]
    bare: tuple[Shape, ...]


def measure(bench: Bench, at: Station) -> None:
    """Needs no role of the station."""
    at.roles()
    with stack(at.root / "queries", "kafka", "s3", "postgres") as (servers, children):
        settings = servers.settings
        accounts, of = accounts_of_tokens(settings, ACCOUNTS), tokens(settings, ACCOUNTS)
        began_s = time.monotonic()
        make_jobs(settings, children, servers.pid("postgres"), accounts, JOBS_AN_ACCOUNT)
        print(f"queries: jobs made in {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)
        port, ours_port = free_port(), children.gateway_port
        gateway = children.role("gateway-0")
        child = children.bare("bare_query", settings.postgres_dsn, str(port))
        child.wait_for(lambda: answers(port))
        kinds = (_jobs(accounts, of), _pages(accounts, of, 0, ours_port), _pages(accounts, of, DEPTH_ROWS, ours_port))
        for kind in kinds:
            _checked(kind, ours_port, port)
            for to, shapes in ((ours_port, kind.ours), (port, kind.bare)):
                measured(_load(kind.name, to, shapes, 0, WARM_S), 200)
            ours: list[Figure] = []
            bare: list[Figure] = []
            for _ in range(bench.rounds):
                ours.append(measured(_load(kind.name, ours_port, kind.ours, gateway.pid), 200).figure)
                bare.append(measured(_load(kind.name, port, kind.bare, child.pid), 200).figure)
            bench.pairs.append(pair(kind.name, "requests/s", kind.against, kind.goal, ours, bare))
    bench.notes.append(
        f"Reads: {ACCOUNTS * JOBS_AN_ACCOUNT:,} jobs of {ACCOUNTS} accounts, rows of the projector multiplied in SQL; "
        f"{ASKED_JOBS:,} of them are asked for by id."
    )


def _load(name: str, port: int, shapes: tuple[Shape, ...], pid: int, run_s: float = RUN_S) -> Load:
    pids = (pid,) if pid else ()
    return Load(HOST, port, shapes, f"{name}-", connections=CONNECTIONS, run_s=run_s, pids=pids)


def _jobs(accounts: Sequence[str], of: Sequence[str]) -> Kind:
    drawn = random.Random(0).sample(range(ACCOUNTS * JOBS_AN_ACCOUNT), ASKED_JOBS)
    places = [divmod(number, JOBS_AN_ACCOUNT) for number in drawn]
    ids = [(account, job_id(account, number + 1, JOBS_AN_ACCOUNT)) for account, number in places]
    return Kind(
        "GET /v1/jobs/{id}",
        "Starlette + one select by primary key",
        0.8,
        tuple(_get(f"/v1/jobs/{job}", of[account]) for account, job in ids),
        tuple(_get(f"/jobs/{accounts[account]}/{job}") for account, job in ids),
    )


def _pages(accounts: Sequence[str], of: Sequence[str], depth: int, port: int) -> Kind:
    """A page of each account, so many rows after its newest."""
    before = (JOBS_AN_ACCOUNT - depth + 1) * VERSIONS_A_JOB
    return Kind(
        f"GET /v1/jobs, {PAGE_ROWS} rows, " + (f"{depth:,} rows deep by cursor" if depth else "the first page"),
        "Starlette + one select of the same rows",
        0.0,
        tuple(_get(f"/v1/jobs?limit={PAGE_ROWS}{_cursor(port, token, depth)}", token) for token in of),
        tuple(_get(f"/pages/{account}/{before}/{PAGE_ROWS}") for account in accounts),
    )


def _cursor(port: int, token: str, depth: int) -> str:
    """The part of a query that goes on after so many rows, from page to page as a client does."""
    given = ""
    for _ in range(0, depth, DEPTH_PAGE_ROWS):
        page = _asked(port, _get(f"/v1/jobs?limit={DEPTH_PAGE_ROWS}{given}", token))
        given = f"&cursor={page['next_cursor']}"
    return given


def _get(path: str, token: str | None = None) -> Shape:
    return Shape("GET", path, () if token is None else (f"Authorization: Bearer {token}",))


def _checked(kind: Kind, ours_port: int, port: int) -> None:
    """Both sides answer the first and the last shape with the same jobs."""
    for at in (0, -1):
        ours, bare = _asked(ours_port, kind.ours[at]), _asked(port, kind.bare[at])
        mine = [row["id"] for row in ours.get("data", [ours])]
        theirs = [row["job"] for row in (bare if isinstance(bare, list) else [bare])]
        check(mine == theirs, f"{kind.name}: ours answers with {mine[:3]}, the bare component with {theirs[:3]}")


def _asked(port: int, shape: Shape) -> Any:
    headers = dict(line.split(": ", 1) for line in shape.headers)
    answer = httpx.get(f"http://{HOST}:{port}{shape.path}", headers=headers, timeout=30)
    check(answer.status_code == 200, f"{shape.path} was answered with {answer.status_code}: {answer.text[:300]}")
    return answer.json()
