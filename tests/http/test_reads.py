"""Reads of jobs and money, from events to answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from infra.sealing.cipher import seal
from infra.sealing.content import JOB, JobSecrets, encode_secrets
from infra.settings import Settings
from schemas import events as ev
from tests.http.fakes import NOW_MS
from tests.http.reading import BASE_URL, Reading, accepted, document, open_reading, opening, stored

DAY_MS = 86_400_000


@pytest.fixture
async def side(postgres: Settings, tmp_path: Path) -> AsyncIterator[Reading]:
    async with open_reading(postgres, tmp_path) as opened:
        yield opened


async def test_a_finished_job_shows_all_that_is_known(side: Reading) -> None:
    account = side.account()
    key = await side.ring.key_for(account)
    sealed = seal(key, account, JOB, encode_secrets(JobSecrets({"order": 7}, {"prompt": "a cat"})))
    side.log.say(account, *opening())
    side.log.say(account, accepted("job_1", sealed=sealed), ev.CreditsReserved("job_1", 1, (), 1, 9))
    side.log.say(account, ev.AttemptReleased("job_1", 1, 0, 0), time_ms=NOW_MS + 1)
    side.log.say(account, ev.JobStarted("job_1", 1, "d", 0), time_ms=NOW_MS + 2)
    result = stored("k", b"x", "ab" * 32)
    ended = ev.JobSucceeded("job_1", 1, "asset_1", 1, result, 5), ev.CreditsCaptured("job_1", 1, 1, 9)
    position = side.log.say(account, *ended, time_ms=NOW_MS + 3)
    answer = await side.get("/v1/jobs/job_1")
    job = document(answer)
    times = job.pop("times")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert job.pop("links")["self"] == f"{BASE_URL}/v1/jobs/job_1"
    assert job == {
        "id": "job_1",
        "status": "succeeded",
        "cost": 1,
        "charged": 1,
        "balance": 9,
        "position": position[:-1] + "1",
        "model": "classical/upscale",
        "product": "darkroom",
        "lane": "standard",
        "group": None,
        "engine": "classical_upscale",
        "engine_version": "1",
        "run": None,
        "params": {"scale": 2, "prompt": "a cat"},
        "metadata": {"order": 7},
        "input": {"asset": "asset_in", "mask": None},
        "refunded": 0,
        "reused_of": None,
        "result_gone": None,
        "model_ms": 5,
        "result": {
            "asset": "asset_1",
            "url": f"{BASE_URL}/v1/assets/asset_1",
            "width": 64,
            "height": 48,
            "format": "png",
            "bytes": 1,
        },
        "error": None,
        "attempts": 1,
        "plan": "default",
        "plan_version": 1,
        "created_at": times["accepted"],
    }
    assert list(times) == ["accepted", "queued", "running", "succeeded"]
    side.key_store.erase(account)
    erased = document(await side.get("/v1/jobs/job_1"))
    assert (erased["metadata"], erased["params"], erased["charged"]) == (None, {"scale": 2}, 1)


async def test_a_failed_job_shows_its_problem_and_no_charge(side: Reading) -> None:
    account = side.account()
    failed = ev.JobFailed("job_1", 1, "engine-failed", "The engine said no")
    released = ev.CreditsReleased("job_1", 1, (), "failed", 10)
    side.log.say(account, *opening(), accepted("job_1"), ev.CreditsReserved("job_1", 1, (), 1, 9), failed, released)
    job = document(await side.get("/v1/jobs/job_1"))
    assert (job["status"], job["charged"], job["balance"], job["result"]) == ("failed", 0, 10, None)
    assert job["error"]["code"] == "engine-failed"
    assert job["error"]["detail"] == "The engine said no."


async def test_events_of_a_job_come_in_order_without_their_delivery(side: Reading) -> None:
    account = side.account()
    side.log.say(account, *opening(), accepted("job_1"), ev.CreditsReserved("job_1", 1, (), 1, 9))
    side.log.say(account, accepted("job_2"), ev.CreditsReserved("job_2", 1, (), 1, 8))
    side.log.say(account, ev.JobCanceled("job_1", 9, None), ev.CreditsReleased("job_1", 1, (), "canceled", 9))
    events = document(await side.get("/v1/jobs/job_1/events"))["data"]
    words = ("job-accepted", "credits-reserved", "job-canceled", "credits-released")
    assert [event["type"] for event in events] == [f"darkroom.{word}.v1" for word in words]
    assert [event["specversion"] for event in events] == ["1.0"] * 4
    assert events[0]["subject"] == account
    assert not {"reply", "idempotency"} & set(events[0]["data"]["data"])


@pytest.mark.parametrize("path", ["/v1/jobs/job_1", "/v1/jobs/job_1/events", "/v1/assets/asset_1", "/v1/media/asset_1"])
async def test_a_strangers_id_is_answered_like_an_unknown_one(side: Reading, path: str) -> None:
    done = ev.JobSucceeded("job_1", 1, "asset_1", 1, stored("k", b"x", "ab" * 32), 5)
    side.log.say(side.account("bob"), *opening(), accepted("job_1"), done)
    side.log.say(side.account(), *opening())
    stranger = await side.get(path)
    unknown = await side.get(path.replace("_1", "_2"))
    assert (stranger.status_code, unknown.status_code) == (404, 404)
    left, right = document(stranger), document(unknown)
    assert left["detail"].replace("_1", "_2") == right["detail"]
    assert left["code"] == right["code"] == "not-found"


async def test_lists_are_pinned_where_their_first_page_was_read(side: Reading) -> None:
    account = side.account()
    side.log.say(account, *opening(100))
    for number in range(5):
        side.log.say(account, accepted(f"job_{number}"), time_ms=NOW_MS + number * 1000)
    for sort, order in (("-created_at", [4, 3, 2, 1, 0]), ("created_at", [0, 1, 2, 3, 4])):
        pages: list[list[str]] = []
        cursor: str | None = None
        while not pages or cursor:
            query: dict[str, Any] = {"limit": 2, "sort": sort, **({"cursor": cursor} if cursor else {})}
            page = document(await side.get("/v1/jobs", params=query))
            pages.append([f"{job['id']} {job['status']}" for job in page["data"]])
            cursor = page["next_cursor"]
            if len(pages) == 1:
                last = "job_0" if sort.startswith("-") else "job_4"
                side.log.say(account, accepted(f"job_later_{sort}"))
                side.log.say(account, ev.AttemptReleased(last, 1, 0, 0))
        flat = [job for page in pages for job in page]
        assert [int(job[4]) for job in flat] == order
        assert flat[-1].endswith("queued"), "statuses are current"
        assert [len(page) for page in pages] == [2, 2, 1]
        side.log.say(account, *(ev.JobExpired(f"job_later_{sort}"),))
        with_pool = "DELETE FROM jobs WHERE job LIKE 'job_later%'"
        await side.pool.execute(f"BEGIN READ WRITE; {with_pool}; COMMIT")


async def test_filters_of_the_list(side: Reading) -> None:
    account = side.account()
    side.log.say(account, *opening())
    side.log.say(account, accepted("job_1"), ev.JobExpired("job_1"), time_ms=NOW_MS)
    side.log.say(account, accepted("job_2", model="sandbox/echo"), time_ms=NOW_MS + 1000)
    side.log.say(account, accepted("job_3"), time_ms=NOW_MS + 2000)

    async def ids(**query: str) -> list[str]:
        return [job["id"] for job in document(await side.get("/v1/jobs", params=query))["data"]]

    assert await ids(status="expired") == ["job_1"]
    assert await ids(model="sandbox/echo") == ["job_2"]
    created = document(await side.get("/v1/jobs/job_2"))["created_at"]
    assert await ids(created_after=created) == ["job_3"]
    assert await ids(created_before=created) == ["job_1"]
    assert await ids() == ["job_3", "job_2", "job_1"]
    assert await ids(model="\u00e9") == []


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/v1/jobs", {"limit": "0"}, "limit"),
        ("/v1/jobs", {"limit": "1001"}, "limit"),
        ("/v1/jobs", {"limit": "many"}, "limit"),
        ("/v1/jobs", {"status": "done"}, "status"),
        ("/v1/jobs", {"sort": "model"}, "sort"),
        ("/v1/jobs", {"created_after": "yesterday"}, "created_after"),
        ("/v1/jobs", {"created_after": "2026-01-31T12:00:00"}, "created_after"),
        ("/v1/jobs", {"model": "a\0b"}, "model"),
        ("/v1/jobs", {"cursor": "bm90aGluZw.AAAA"}, "cursor"),
        ("/v1/jobs", {"page": "2"}, "page"),
        ("/v1/ledger", {"kind": "stolen"}, "kind"),
        ("/v1/ledger", {"limit": "-1"}, "limit"),
        ("/v1/ledger", {"cursor": "\u00e9"}, "cursor"),
    ],
)
async def test_a_bad_parameter_is_named(side: Reading, path: str, query: dict[str, str], field: str) -> None:
    answer = await side.get(path, params=query)
    assert answer.status_code == 400
    assert document(answer)["errors"][0]["field"] == field


async def test_a_cursor_works_only_where_it_was_made(side: Reading) -> None:
    for subject in ("ada", "bob"):
        side.log.say(side.account(subject), *opening(), *(accepted(f"job_{subject}_{n}") for n in range(3)))
    cursor = document(await side.get("/v1/jobs", params={"limit": 1}))["next_cursor"]
    mine = await side.get("/v1/jobs", params={"limit": 1, "cursor": cursor})
    other_filter = await side.get("/v1/jobs", params={"limit": 1, "cursor": cursor, "status": "accepted"})
    other_list = await side.get("/v1/ledger", params={"limit": 1, "cursor": cursor})
    other_account = await side.get("/v1/jobs", "bob", params={"limit": 1, "cursor": cursor})
    answers = (mine, other_filter, other_list, other_account)
    assert [answer.status_code for answer in answers] == [200, 400, 400, 400]


async def test_an_account_that_never_wrote_shows_its_opening_terms(side: Reading) -> None:
    spike = document(await side.get("/v1/account", product="spike-land"))
    studio = document(await side.get("/v1/account", product="studio"))
    assert spike == {
        "account": side.account(product="spike-land"),
        "balance": 100,
        "reserved": 0,
        "quota": [],
        "lots": [],
        "plan": "default",
        "position": None,
    }
    assert studio["balance"] is None
    assert studio["quota"][0]["used"] == 0
    assert await side.pool.fetchval("SELECT count(*) FROM accounts") == 0
    assert (await side.get("/v1/account", product="unheard-of")).status_code == 404


async def test_the_account_is_shown_as_of_now(side: Reading) -> None:
    spike, studio = side.account(product="spike-land"), side.account(product="studio")
    spent = (ev.CreditsReserved("job_1", 30, (), 1, 70), ev.CreditsCaptured("job_1", 30, 1, 70))
    held = ev.CreditsReserved("job_2", 5, (), 1, 65)
    jobs = (accepted("job_1"), accepted("job_2"))
    position = side.log.say(spike, *opening(100), *jobs, *spent, held, product="spike-land")
    window = ev.WindowUse("day", NOW_MS - NOW_MS % DAY_MS, 1)
    side.log.say(studio, *opening(0), accepted("j"), ev.CreditsReserved("j", 1, (window,), 1, -1), product="studio")
    account = document(await side.get("/v1/account", product="spike-land"))
    assert (account["balance"], account["reserved"]) == (65, 5)
    assert account["position"] == position[:-1] + "6"
    side.clock.advance(2 * 900_000 + 5)
    assert document(await side.get("/v1/account", product="spike-land"))["balance"] == 67
    quota = document(await side.get("/v1/account", product="studio"))["quota"]
    assert [(q["window"], q["limit"], q["used"]) for q in quota] == [("day", 50, 1)]
    side.clock.advance(DAY_MS)
    assert document(await side.get("/v1/account", product="studio"))["quota"][0]["used"] == 0
    side.clock.advance(100 * DAY_MS)
    assert document(await side.get("/v1/account", product="spike-land"))["balance"] == 100


async def test_the_ledger_says_what_happened_to_the_balance(side: Reading) -> None:
    account = side.account()
    side.log.say(account, *opening(10), accepted("job_1"), ev.CreditsReserved("job_1", 3, (), 1, 7))
    side.log.say(account, ev.CreditsCaptured("job_1", 3, 1, 7), ev.CreditsGranted(-2, "fine", 5, None))
    lines = document(await side.get("/v1/ledger", params={"sort": "created_at"}))["data"]
    told = [(line["kind"], line["amount"], line["change"], line["balance"]) for line in lines]
    assert told == [
        ("granted", 10, 10, 10),
        ("reserved", 3, -3, 7),
        ("captured", 3, 0, 7),
        ("granted", -2, -2, 5),
    ]
    assert [line["job"] for line in lines] == [None, "job_1", "job_1", None]
    of_job = document(await side.get("/v1/ledger", params={"job": "job_1", "limit": 1}))
    assert (of_job["data"][0]["kind"], of_job["data"][0]["plan_version"]) == ("captured", 1)
    rest = document(await side.get("/v1/ledger", params={"job": "job_1", "limit": 1, "cursor": of_job["next_cursor"]}))
    assert [line["kind"] for line in rest["data"]] == ["reserved"]
    assert rest["next_cursor"] is None


async def test_models_are_those_of_the_catalogue(side: Reading) -> None:
    models = document(await side.get("/v1/models"))["data"]
    upscale = next(model for model in models if model["id"] == "classical/upscale")
    assert upscale["cost"]["base"] == 1
    assert upscale["parameters"]["scale"]["choices"] == [2, 4]
