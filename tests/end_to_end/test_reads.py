"""What can be read, on the running stack: one story told alike by every read model, the archive and the trail."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.client import Client, data, ok, problem


async def test_every_read_tells_the_same_story(user: Client) -> None:
    before = ok(await user.get("/v1/account"))["position"]
    done = ok(await user.submit("sandbox/echo", prefer="wait=30"))
    failed = ok(await user.submit("sandbox/broken", prefer="wait=30"))
    assert [job["id"] for job in data(await user.get("/v1/jobs", status="succeeded"))] == [done["id"]]
    assert [job["id"] for job in data(await user.get("/v1/jobs", status="failed,expired"))] == [failed["id"]]
    assert [job["id"] for job in data(await user.get("/v1/jobs", has_result="true", model="sandbox/echo"))] == [
        done["id"]
    ]
    charge = ok(await user.get(f"/v1/jobs/{done['id']}/charge"))
    assert [(line["kind"], line["change"]) for line in charge["lines"]] == [("reserved", -1), ("captured", 0)]
    assert (charge["charged"], charge["price"]["applied"]) == (1, {"base": 1})
    lines = data(await user.get("/v1/ledger", job=done["id"], sort="created_at"))
    assert [line["position"] for line in lines] == [line["position"] for line in charge["lines"]]
    history = data(await user.get(f"/v1/jobs/{done['id']}/history"))
    assert history == await user.events(done["id"])
    then, now = ok(await user.get("/v1/account", as_of=before)), ok(await user.get("/v1/account"))
    assert (then["balance"], now["balance"], now["reserved"]) == (20, 19, 0)
    version = 0
    while True:
        version += 1
        answer = await user.get("/v1/account", version=version)
        if answer.status_code == 400:
            break
        last = ok(answer)
    assert (last["balance"], last["reserved"], last["as_of"]) == (19, 0, now["position"])
    statistics = ok(await user.get("/v1/statistics", days=1))
    assert statistics["totals"] == ok(await user.get("/v1/usage"))["today"]
    totals = statistics["totals"]
    assert (totals["submitted"], totals["succeeded"], totals["failed"], totals["credits"]) == (2, 1, 1, 1)
    models = {model["model"]: model for model in statistics["models"]}
    assert models["sandbox/echo"]["run_ms"]["p50"] is not None
    assert [asset["job"] for asset in data(await user.get("/v1/assets", kind="result"))] == [done["id"]]
    assert ok(await user.get("/v1/plans"))["prices"]["sandbox/echo"]["base"] == 1
    problem(await user.get("/v1/account", as_of="0.999999999.0.0"), 400, "as_of")


async def test_the_trail_shows_reads_and_nobody_elses(user: Client, stranger: Client) -> None:
    done = ok(await user.submit("sandbox/echo", prefer="wait=30"))
    await user.job(done["id"])
    seen: list[dict[str, Any]] = []
    async with asyncio.timeout(20):
        while not any(entry["operation"] == "get-job" for entry in seen):
            seen = data(await user.get("/v1/audit", object=done["id"]))
            await asyncio.sleep(0.3)
    assert all(entry["own"] for entry in seen)
    assert data(await stranger.get("/v1/audit", object=done["id"])) == []
