"""Jobs from submit to result, beside a loop of S3, Triton, encode and S3 without any ledger."""

from __future__ import annotations

import asyncio

from tests.bench import bare_jobs
from tests.bench.clients import measured, shapes, submit, upload
from tests.bench.measure import Figure, pair
from tests.bench.station import Bench, Station
from tests.pictures import encoded, scene

CONNECTIONS = 32
RUN_S = 1.5


def measure(bench: Bench, at: Station) -> None:
    """With every role running."""
    pids = tuple(role.pid for role in at.roles("processor-0", "dispatcher-0", "projector-0", "gateway-0"))
    picture = encoded(scene(256, 256))
    users = at.tokens[:CONNECTIONS]
    assets = [upload(at.port, token, picture) for token in users]
    upscales = tuple(
        submit(token, {"model": "classical/upscale", "input": {"asset": asset}}, "wait=30")
        for token, asset in zip(users, assets, strict=True)
    )
    kinds = {"sandbox/echo": shapes(users, {"model": "sandbox/echo"}, "wait=30"), "upscale": upscales}
    for kind, what in kinds.items():
        ours: list[Figure] = []
        bare: list[Figure] = []
        for number in range(bench.rounds):
            least = bare_jobs.LEAST_JOBS
            load = at.load(f"{kind}-{number}", CONNECTIONS, what, run_s=RUN_S, least=least, pids=pids)
            ours.append(measured(load, 200).figure)
            name = "echo" if kind == "sandbox/echo" else "upscale"
            bare.append(asyncio.run(bare_jobs.run_bare(at.settings, name, picture, number, RUN_S)))
        title = kind if kind == "sandbox/echo" else "upscale of a 256x256 JPEG"
        against = f"bare loop, {bare_jobs.IN_FLIGHT} in flight"
        bench.pairs.append(pair(f"end to end, {title}", "jobs/s", against, 0.8, ours, bare))
