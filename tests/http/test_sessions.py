"""Sessions over HTTP: sliding expiry, logout, an operator's revocation, a log that is away."""

from __future__ import annotations

import pytest

from infra.http.tokens import TokenVerifier, sign_token
from tests.http.fakes import DEPLOYMENT, IDENTIFIER_KEY, Side, decoded

HOUR_MS = 3_600_000


def session_token(side: Side, *, idle_s: int = 86_400, subject: str = "ada") -> str:
    """A session token of 30 days."""
    now_s = side.clock.now_ms() // 1000
    return sign_token(side.keys, DEPLOYMENT, "darkroom", subject, now_s=now_s, ttl_s=30 * 86_400, idle_s=idle_s)


def session_of(side: Side, token: str) -> str:
    """The id of the token's session."""
    verifier = TokenVerifier(side.keys, IDENTIFIER_KEY, DEPLOYMENT, lambda: side.clock.now_ms() / 1000)
    claims = verifier.verify(token).session
    assert claims is not None
    return claims.id


async def status(side: Side, token: str) -> int:
    """What a submit with the token is answered."""
    headers = {"Authorization": f"Bearer {token}"}
    return (await side.http.post("/v1/jobs", json={"model": "sandbox/echo"}, headers=headers)).status_code


async def test_a_session_slides_while_it_is_used_and_ends_after_a_day_of_silence(side: Side) -> None:
    token = session_token(side)
    for _ in range(5):
        side.clock.advance(23 * HOUR_MS)
        assert await status(side, token) == 202
    side.clock.advance(24 * HOUR_MS)
    answer = await side.http.post("/v1/jobs", json={}, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert decoded(answer)["code"] == "token-invalid"
    assert "idle" in decoded(answer)["detail"]


async def test_use_does_not_carry_a_session_past_its_end(side: Side) -> None:
    token = session_token(side)
    for _ in range(30 * 2):
        assert await status(side, token) == 202
        side.clock.advance(12 * HOUR_MS)
    side.clock.advance(6_000)
    assert await status(side, token) == 401


@pytest.mark.parametrize("sliding", [True, False])
async def test_logout_ends_the_token_and_no_other(side: Side, sliding: bool) -> None:
    token, other = session_token(side) if sliding else side.token(), session_token(side)
    answer = await side.http.delete("/v1/session", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert await status(side, token) == 401
    assert await status(side, other) == 202
    again = await side.http.delete("/v1/session", headers={"Authorization": f"Bearer {token}"})
    assert again.status_code == 401
    assert 'error="invalid_token"' in again.headers["www-authenticate"]


async def test_an_operator_ends_any_session_and_repeating_is_harmless(side: Side) -> None:
    token = session_token(side, subject="eve")
    operator = {"Authorization": f"Bearer {side.token('op', role='admin')}"}
    for _ in range(2):
        answer = await side.http.post(f"/v1/sessions/{session_of(side, token)}:revoke", headers=operator)
        assert answer.status_code == 204
    assert await status(side, token) == 401
    refused = await side.http.post(f"/v1/sessions/{session_of(side, token)}:revoke")
    assert refused.status_code == 403
    odd = await side.http.post("/v1/sessions/a%20b:revoke", headers=operator)
    assert odd.status_code == 400
    assert decoded(odd)["errors"][0]["field"] == "id"


async def test_a_log_that_is_away_is_said_and_the_session_goes_on(side: Side) -> None:
    token = session_token(side)
    side.records.is_away = True
    answer = await side.http.delete("/v1/session", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert await status(side, token) == 202
    side.records.is_away = False
    assert (await side.http.delete("/v1/session", headers={"Authorization": f"Bearer {token}"})).status_code == 204
    assert await status(side, token) == 401


async def test_nothing_of_a_request_waits_for_the_topic(side: Side) -> None:
    """A use is noted in memory alone; the topic stays as it was."""
    token = session_token(side)
    side.clock.advance(HOUR_MS)
    side.records.is_away = True
    assert await status(side, token) == 202
