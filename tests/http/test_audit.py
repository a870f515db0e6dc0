"""Accesses as requests leave them: writes name what they made, refusals nothing, and no answer waits for the log."""

from __future__ import annotations

from tests.http.fakes import Side, decoded
from tests.pictures import encoded, scene


async def test_a_submit_names_its_job_under_the_trace_of_the_request(side: Side) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = await side.submit({"model": "sandbox/echo"}, traceparent=f"00-{trace}-00f067aa0ba902b7-01")
    (record,) = await side.accesses()
    (access,) = record.accesses
    assert record.account == access.actor == side.account()
    assert (access.operation, access.action, access.role) == ("submit-job", "change", "user")
    assert access.objects == (decoded(answer)["id"],)
    assert (access.trace, access.status) == (trace, 202)


async def test_an_upload_names_its_asset_and_a_cancel_its_job(side: Side) -> None:
    uploaded = await side.upload(encoded(scene(8, 8)))
    await side.http.post("/v1/jobs/job_x:cancel")
    (record,) = await side.accesses()
    assert [(access.operation, access.objects) for access in record.accesses] == [
        ("upload-asset", (decoded(uploaded)["id"],)),
        ("cancel-job", ("job_x",)),
    ]


async def test_a_grant_stands_under_the_account_that_got_it_and_names_no_subject(side: Side) -> None:
    headers = {"Authorization": f"Bearer {side.token('op', role='admin')}"}
    await side.http.post("/v1/accounts/darkroom:somebody:grant", json={"amount": 5}, headers=headers)
    (record,) = await side.accesses()
    (access,) = record.accesses
    assert record.account == side.account("somebody")
    assert (access.actor, access.role, access.objects) == (side.account("op"), "admin", ())


async def test_a_logout_names_its_session(side: Side) -> None:
    await side.http.delete("/v1/session")
    (record,) = await side.accesses()
    (access,) = record.accesses
    assert (access.operation, access.action) == ("end-session", "delete")
    assert len(access.objects) == 1


async def test_what_was_refused_is_no_access(side: Side) -> None:
    await side.submit({"model": "nothing/at-all"})
    await side.http.post("/v1/jobs", json={}, headers={"Authorization": "Bearer x"})
    await side.http.delete("/v1/nowhere")
    assert await side.accesses() == []


async def test_a_log_that_is_away_delays_no_answer_and_loses_no_access(side: Side) -> None:
    side.records.is_away = True
    assert (await side.submit({"model": "sandbox/echo"})).status_code == 202
    assert not await side.trail.flush(side.records)
    side.records.is_away = False
    assert len(await side.accesses()) == 1
