"""A photograph of twelve megapixels enlarged, submit to result, beside the same tiles in a loop without a ledger."""

from __future__ import annotations

import asyncio

from tests.bench import bare_jobs
from tests.bench.clients import measured, submit, upload
from tests.bench.measure import Figure, pair
from tests.bench.station import Bench, Station
from tests.pictures import encoded, scene

WIDTH, HEIGHT = 4000, 3000
AT_ONCE = 1
LEAST = 1  # what runs at the end of the warm-up counts whole, on both sides
RUN_S = 1.0


def measure(bench: Bench, at: Station) -> None:
    """With every role running; some seconds a picture, so few pictures a round."""
    pids = tuple(role.pid for role in at.roles("processor-0", "dispatcher-0", "projector-0", "gateway-0"))
    picture = encoded(scene(WIDTH, HEIGHT))
    params = {"model": "classical/upscale", "params": {"scale": bare_jobs.SCALE}}
    jobs = tuple(
        submit(token, params | {"input": {"asset": upload(at.port, token, picture)}}, "wait=60")
        for token in at.tokens[:AT_ONCE]
    )
    ours: list[Figure] = []
    bare: list[Figure] = []
    for number in range(bench.rounds):
        load = at.load(f"photograph-{number}", AT_ONCE, jobs, run_s=RUN_S, least=LEAST, pids=pids)
        ours.append(measured(load, 200).figure)
        alone = bare_jobs.run_bare(at.settings, "JPEG", picture, number, RUN_S, in_flight=AT_ONCE, least=LEAST)
        bare.append(asyncio.run(alone))
    against = "bare loop over the same tiles, one at a time"
    bench.pairs.append(pair("end to end, upscale of a 12-megapixel JPEG", "jobs/s", against, 0.8, ours, bare))
