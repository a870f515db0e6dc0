"""Groups, lists, charges, assets and albums, from events to answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from infra.sealing.cipher import seal
from infra.sealing.content import ALBUM, JOB, AlbumSecrets, JobSecrets, encode_secrets
from infra.settings import Settings
from schemas import events as ev
from schemas.commands import EngineRun, PassedOver, SealedPart
from schemas.refusals import InsufficientCredits
from tests.http.fakes import NOW_MS
from tests.http.reading import BASE_URL, Reading, accepted, document, open_reading, opening, stored

HASH = "ab" * 32
RUN = EngineRun("procedural", "2", "req-7", (PassedOver("onnx", "1", "engine-unavailable"),))


@pytest.fixture
async def side(postgres: Settings, tmp_path: Path) -> AsyncIterator[Reading]:
    async with open_reading(postgres, tmp_path) as opened:
        yield opened


def done(job: str, number: int, *, units: int = 1, **more: Any) -> Sequence[ev.AnyEvent]:
    """A job from its acceptance to its charge."""
    result = stored(f"k_{job}", b"x", HASH)
    asset = "asset_" + job.removeprefix("job_")
    return (
        accepted(job),
        ev.CreditsReserved(job, units, (), 1, 9),
        ev.AttemptReleased(job, 1, 0, 0),
        ev.JobStarted(job, 1, "d", 0),
        ev.JobSucceeded(job, 1, asset, number, result, 5, **more),
        ev.CreditsCaptured(job, units, 1, 9),
    )


async def ids(side: Reading, path: str, **query: str) -> list[str]:
    answer = await side.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in document(answer)["data"]]


async def test_jobs_are_found_by_everything_that_is_known_of_them(side: Reading) -> None:
    account = side.account()
    side.log.say(account, *opening())
    side.log.say(account, *done("job_1", 1), time_ms=NOW_MS)
    side.log.say(account, accepted("job_2"), ev.JobCanceled("job_2", 9, None), time_ms=NOW_MS + 1000)
    lane = replace(accepted("job_3"), lane="video", group="group_1", input="asset_other")
    side.log.say(account, lane, ev.AttemptReleased("job_3", 1, 0, 0), time_ms=NOW_MS + 2000)
    side.log.say(account, *done("job_4", 2), time_ms=NOW_MS + 3000)
    side.log.say(account, ev.AssetDeleted("asset_4", "deleted", None), time_ms=NOW_MS + 4000)
    moments = [document(await side.get(f"/v1/jobs/job_{n}"))["created_at"] for n in range(1, 5)]
    wanted = {
        "status=succeeded,queued": "4 3 1",
        "status=canceled": "2",
        "status=queued&has_result=false": "3",
        "has_result=true": "1",
        "has_result=false": "4 3 2",
        "group=group_1": "3",
        "lane=video": "3",
        "lane=standard": "4 2 1",
        "input=asset_in": "4 2 1",
        "result=asset_4": "4",
        f"ended_after={moments[0]}": "4 2",
        f"ended_before={moments[3]}&sort=created_at": "1 2",
        f"created_after={moments[0]}&created_before={moments[3]}": "3 2",
        f"created_before={moments[0]}": "",
    }
    for text, numbers in wanted.items():
        query = dict(part.split("=", 1) for part in text.split("&"))
        assert await ids(side, "/v1/jobs", **query) == [f"job_{n}" for n in numbers.split()], text
    gone = document(await side.get("/v1/jobs/job_4"))
    assert (gone["result_gone"], gone["result"]["asset"]) == ("deleted", "asset_4")


async def test_a_hidden_job_is_shown_as_before_and_can_be_left_out(side: Reading) -> None:
    account = side.account()
    side.log.say(account, *opening(), *done("job_1", 1), *done("job_2", 2))
    before = document(await side.get("/v1/jobs/job_1"))
    position = side.log.say(account, ev.JobHidden("job_1", False, 8, None))
    after = document(await side.get("/v1/jobs/job_1"))
    assert after == {**before, "position": position}
    assert await ids(side, "/v1/jobs") == ["job_2", "job_1"]
    assert await ids(side, "/v1/jobs", hidden="true") == ["job_1"]
    assert await ids(side, "/v1/jobs", hidden="false") == ["job_2"]
    for path in ("/v1/jobs/job_1/events", "/v1/jobs/job_1/history"):
        events = document(await side.get(path))["data"]
        assert events[-1]["type"] == "darkroom.job-hidden.v1"
    assert (await side.get("/v1/jobs", params={"hidden": "perhaps"})).status_code == 400


@pytest.mark.parametrize("status", ["", "succeeded,", "succeeded,done", "succeeded;failed"])
async def test_a_status_that_is_none_is_named(side: Reading, status: str) -> None:
    answer = await side.get("/v1/jobs", params={"status": status})
    assert answer.status_code == 400
    assert document(answer)["errors"][0]["field"] == "status"


async def test_a_job_says_which_engine_served_it_and_what_was_passed_over(side: Reading) -> None:
    account = side.account()
    side.log.say(account, *opening(), *done("job_1", 1, run=RUN))
    side.log.say(account, ev.CreditsRefunded("job_1", 1, (), 1, "complaint", 10, None), time_ms=NOW_MS + 5)
    job = document(await side.get("/v1/jobs/job_1"))
    assert job["run"] == {
        "engine": "procedural",
        "engine_version": "2",
        "request": "req-7",
        "passed_over": [{"engine": "onnx", "engine_version": "1", "reason": "engine-unavailable"}],
    }
    assert (job["charged"], job["refunded"], job["balance"], job["model_ms"]) == (1, 1, 10, 5)
    assert "refunded" in job["times"]


async def test_a_reused_job_ended_at_once_for_nothing(side: Reading) -> None:
    account = side.account()
    side.log.say(account, *opening(), *done("job_1", 1))
    reused = ev.JobReused(
        "job_2", "classical/upscale", "classical_upscale", "1", "standard", {"scale": 2}, "asset_in", None, "default",
        1, "job_1", "asset_2", 2, stored("k_job_1", b"x", HASH), 9, None,
    )  # fmt: skip
    side.log.say(account, reused)
    job = document(await side.get("/v1/jobs/job_2"))
    assert (job["status"], job["cost"], job["charged"], job["reused_of"]) == ("succeeded", 0, 0, "job_1")
    assert job["result"]["asset"] == "asset_2"
    assert await ids(side, "/v1/assets", kind="result") == ["asset_2", "asset_1"]


async def test_a_group_shows_its_jobs_counts_and_charge(side: Reading) -> None:
    account = side.account()
    group = ev.GroupAccepted("group_1", ("job_1", "job_2"), (1, 1), 2, 8, 1, None)
    key = await side.ring.key_for(account)
    sealed = [seal(key, account, JOB, encode_secrets(JobSecrets({"n": n}, {"prompt": f"cat {n}"}))) for n in (1, 2)]
    await side.objects.put("parts", "".join(sealed).encode(), content_type="text/plain")
    starts = (0, len(sealed[0]))
    jobs = [
        replace(accepted(f"job_{n}"), group="group_1", sealed_at=SealedPart("parts", starts[n - 1], len(sealed[n - 1])))
        for n in (1, 2)
    ]
    side.log.say(account, *opening(), group, *jobs, *done("job_1", 1)[1:])
    found = document(await side.get("/v1/groups/group_1"))
    assert (found["cost"], found["charged"], found["ended"]) == (2, 1, False)
    assert found["counts"] == {"succeeded": 1, "accepted": 1}
    assert [(job["id"], job["params"]["prompt"], job["metadata"]) for job in found["jobs"]] == [
        ("job_1", "cat 1", {"n": 1}),
        ("job_2", "cat 2", {"n": 2}),
    ]
    assert (await side.get("/v1/groups/group_1", "bob")).status_code == 404
    assert (await side.get("/v1/groups/group_2")).status_code == 404


async def test_an_id_that_nothing_was_made_under_says_why(side: Reading) -> None:
    account = side.account()
    side.log.say(account, *opening(), accepted("job_1"))
    side.log.say(account, ev.CommandRefused("submit-job", InsufficientCredits(5, 2), "job_2"))
    side.log.say(account, ev.CommandDuplicate("submit-job", "0.0.0.0", "job_1", None, "job_3"))
    refused = await side.get("/v1/jobs/job_2")
    assert (refused.status_code, document(refused)["code"]) == (402, "insufficient-credits")
    assert document(await side.get("/v1/jobs/job_3"))["id"] == "job_1"
    assert (await side.get("/v1/jobs/job_2", "bob")).status_code == 404


async def test_events_and_history_of_a_job(side: Reading) -> None:
    account = side.account()
    side.log.say(account, *opening(), accepted("job_0"), *done("job_1", 1))
    pages: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while not pages or cursor:
        page = document(await side.get("/v1/jobs/job_1/events", params={"limit": "4", **cursor}))
        pages += page["data"]
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else {}
    assert len(pages) == 6
    history = document(await side.get("/v1/jobs/job_1/history"))["data"]
    assert history == pages
    assert (await side.get("/v1/jobs/job_1/history", "bob")).status_code == 404


async def test_assets_are_listed_narrowed_and_paged(side: Reading) -> None:
    account = side.account()
    picture = stored("k", b"x", HASH)
    uploads = [ev.AssetRegistered(f"asset_u{n}", n, picture, None, None, album="album_1") for n in (1, 2)]
    video = replace(picture, format="mp4", duration_ms=2000)
    side.log.say(account, *opening(), ev.AlbumCreated("album_1", None, None), *uploads)
    side.log.say(account, *done("job_3", 3), time_ms=NOW_MS + 1000)
    made = ev.JobSucceeded("job_4", 1, "asset_4", 4, video, 5, thumbnail=stored("t", b"t", HASH))
    side.log.say(account, accepted("job_4"), made, time_ms=NOW_MS + 2000)
    side.log.say(account, ev.VisibilityChanged("asset_4", True), ev.AssetsViewed((("asset_4", 3),)))
    side.log.say(account, ev.AssetsMoved("album_1", None, ("asset_4",), (), ()))
    for query, names in {
        "kind=input": "u2 u1",
        "kind=result": "4 3",
        "media=video": "4",
        "format=png&sort=created_at": "u1 u2 3",
        "public=true": "4",
        "album=album_1": "4 u2 u1",
        "album=album_2": "",
    }.items():
        asked = dict(part.split("=") for part in query.split("&"))
        assert await ids(side, "/v1/assets", **asked) == [f"asset_{name}" for name in names.split()], query
    first = document(await side.get("/v1/assets", params={"limit": "3"}))
    side.log.say(account, ev.AssetRegistered("asset_u5", 5, picture, None, None))
    rest = document(await side.get("/v1/assets", params={"limit": "3", "cursor": first["next_cursor"]}))
    shown = [item["id"] for item in (*first["data"], *rest["data"])]
    assert shown == ["asset_4", "asset_3", "asset_u2", "asset_u1"]
    found = first["data"][0]
    assert (found["public"], found["views"], found["albums"], found["duration_ms"]) == (True, 3, ["album_1"], 2000)
    assert found["thumbnail_url"] == f"{BASE_URL}/v1/media/asset_4/thumbnail"


async def test_what_is_gone_is_told_to_its_owner_alone(side: Reading) -> None:
    account = side.account()
    picture = stored("k", b"x", HASH)
    registered = [ev.AssetRegistered(f"asset_{n}", n, picture, None, None) for n in (1, 2)]
    side.log.say(account, *opening(), *registered, ev.AssetDeleted("asset_1", "deleted", None))
    for path in ("/v1/assets/asset_1", "/v1/media/asset_1"):
        assert (await side.get(path)).status_code == 410
        assert (await side.get(path, "bob")).status_code == 404
    assert await ids(side, "/v1/assets") == ["asset_2"]
    side.log.say(account, ev.AccountErased(2))
    assert await ids(side, "/v1/assets") == []
    assert (await side.get("/v1/assets/asset_2")).status_code == 410


async def test_a_thumbnail_is_the_still_picture_of_a_video(side: Reading) -> None:
    account = side.account()
    video = replace(stored("v", b"video", HASH), format="mp4", duration_ms=2000)
    digest = "e3b98a4da31a127d4bde6e43033f66ba274cab0eb7eb1c70ec41402bf6273dd8"
    await side.objects.put("t", b"t", content_type="image/jpeg")
    still = replace(stored("t", b"t", digest), format="jpeg")
    made = ev.JobSucceeded("job_1", 1, "asset_1", 1, video, 5, thumbnail=still)
    side.log.say(account, *opening(), accepted("job_1"), made, ev.AssetRegistered("asset_2", 2, still, None, None))
    answer = await side.get("/v1/media/asset_1/thumbnail")
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "image/jpeg", b"t")
    assert (await side.get("/v1/media/asset_2/thumbnail")).status_code == 404
    assert (await side.get("/v1/media/asset_1/thumbnail", "bob")).status_code == 404


async def test_albums_are_listed_with_their_names(side: Reading) -> None:
    account = side.account()
    key = await side.ring.key_for(account)
    sealed = seal(key, account, ALBUM, encode_secrets(AlbumSecrets("Summer")))
    picture = stored("k", b"x", HASH)
    side.log.say(account, *opening(), ev.AlbumCreated("album_1", sealed, None), ev.AlbumCreated("album_2", None, None))
    side.log.say(account, ev.AssetRegistered("asset_1", 1, picture, None, None, album="album_1"))
    albums = document(await side.get("/v1/albums", params={"sort": "created_at"}))["data"]
    assert [(album["id"], album["name"], album["assets"]) for album in albums] == [
        ("album_1", "Summer", 1),
        ("album_2", None, 0),
    ]
    side.log.say(account, ev.AssetsMoved("album_2", "album_1", ("asset_1",), (), ()), ev.AlbumDeleted("album_1"))
    assert document(await side.get("/v1/albums/album_2"))["assets"] == 1
    assert (await side.get("/v1/albums/album_1")).status_code == 404
    assert (await side.get("/v1/albums/album_2", "bob")).status_code == 404
