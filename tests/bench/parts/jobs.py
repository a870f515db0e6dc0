"""Jobs from submit to result, beside a loop of S3, Triton, encode and S3 without any ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tests.bench import bare_jobs
from tests.bench.clients import measured, shapes, submit, upload
from tests.bench.load import Shape
from tests.bench.measure import Figure, pair
from tests.bench.station import Bench, Station
from tests.pictures import encoded, scene

CONNECTIONS = 32
FORMS: tuple[bare_jobs.Kind, ...] = ("JPEG", "WEBP")
RUN_S = 1.5


def measure(bench: Bench, at: Station) -> None:
    """With every role running."""
    pids = tuple(role.pid for role in at.roles("processor-0", "dispatcher-0", "projector-0", "gateway-0"))
    users = at.tokens[:CONNECTIONS]
    scenes = {form: encoded(scene(256, 256), form) for form in FORMS}
    kinds: dict[bare_jobs.Kind, tuple[Shape, ...]] = {"echo": shapes(users, {"model": "sandbox/echo"}, "wait=30")}
    kinds |= {form: _upscales(at.port, users, scenes[form]) for form in FORMS}
    for kind, what in kinds.items():
        ours: list[Figure] = []
        bare: list[Figure] = []
        for number in range(bench.rounds):
            least = bare_jobs.LEAST_JOBS
            load = at.load(f"{kind}-{number}", CONNECTIONS, what, run_s=RUN_S, least=least, pids=pids)
            ours.append(measured(load, 200).figure)
            bare.append(asyncio.run(bare_jobs.run_bare(at.settings, kind, scenes.get(kind, b""), number, RUN_S)))
        title = "sandbox/echo" if kind == "echo" else f"upscale of a 256x256 {kind}"
        against = f"bare loop, {bare_jobs.IN_FLIGHT} in flight"
        bench.pairs.append(pair(f"end to end, {title}", "jobs/s", against, 0.8, ours, bare))


def _upscales(port: int, users: Sequence[str], picture: bytes) -> tuple[Shape, ...]:
    """A picture of each user, enlarged."""
    assets = [(token, upload(port, token, picture)) for token in users]
    return tuple(
        submit(token, {"model": "classical/upscale", "input": {"asset": asset}}, "wait=30") for token, asset in assets
    )
