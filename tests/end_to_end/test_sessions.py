"""Sessions, keys and the trail of accesses on the running stack."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import httpx
from prometheus_client import CollectorRegistry

from infra.cli.gateway_log import GatewayLog
from infra.http.signing_keys import KeyFolder
from infra.http.tokens import TokenInvalid, read_secret, sign_token
from infra.kafka.client import start_client
from infra.kafka.reader import KafkaLogReader
from infra.local.layout import Layout, make_signing_key
from infra.local.stack import settings_of
from infra.settings import Settings
from schemas.accesses import AccessRecord, decode_accesses
from schemas.identifiers import account_id, partition_of
from schemas.topics import ACCESSES
from tests.client import Client, ok, problem
from tests.stack import Stack


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def printed(stack: Stack, *arguments: str) -> str:
    """What a command prints."""
    ran = stack.darkroom(*arguments)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


async def test_a_session_is_good_while_it_is_used_and_idle_it_ends(stack: Stack, user: Client) -> None:
    who = ("--product", "darkroom", "--subject", user.subject)
    token = printed(stack, "token", *who, "--session", "--idle", "3")
    for _ in range(5):
        ok(await user.http.get("/v1/account", headers=bearer(token)))
        await asyncio.sleep(1)
    await asyncio.sleep(2.2)
    told = problem(await user.http.get("/v1/account", headers=bearer(token)), 401)
    assert "idle" in told["detail"]


async def test_a_token_that_was_ended_stays_so_through_a_restart(stack: Stack, user: Client) -> None:
    who = ("--product", "darkroom", "--subject", user.subject)
    mine, theirs, other = (printed(stack, "token", *who, *more) for more in (["--session"], [], []))
    for token in (mine, theirs, other):
        ok(await user.http.get("/v1/account", headers=bearer(token)))
    assert (await user.http.delete("/v1/session", headers=bearer(mine))).status_code == 204
    printed(stack, "revoke", "--session", theirs)
    for token in (mine, theirs):
        for method, path in (("GET", "/v1/account"), ("POST", "/v1/jobs"), ("GET", "/v1/media/asset_x")):
            problem(await user.http.request(method, path, headers=bearer(token), json={}), 401)
    gateway = stack.status()["gateway-0"]["pid"]
    await asyncio.to_thread(_restart_gateway, stack, gateway)
    for token in (mine, theirs):
        problem(await user.http.get("/v1/account", headers=bearer(token)), 401)
    assert (await user.get("/v1/account")).status_code == 200
    ok(await user.http.get("/v1/account", headers=bearer(other)))


async def test_another_gateway_hears_of_a_logout_within_a_second(stack: Stack, user: Client) -> None:
    settings = settings_of(Layout(stack.data))
    other = GatewayLog(settings, read_secret(settings.secrets_dir, "identifier.key"), CollectorRegistry())
    token = stack.token(user.subject)
    async with other.open(30.0):
        assert await other.is_current()
        assert other.authenticator.caller(token).account == _account(settings, user.subject)
        assert (await user.http.delete("/v1/session", headers=bearer(token))).status_code == 204
        deadline = time.monotonic() + 1.0
        while _is_taken(other, token):
            assert time.monotonic() < deadline, "a second later the other gateway still takes the token"
            await asyncio.sleep(0.02)


async def test_a_new_key_signs_and_an_old_one_is_retired(stack: Stack, user: Client) -> None:
    folder = Layout(stack.data).secrets / "jwt"
    made = printed(stack, "rotate-key")
    assert made in KeyFolder(folder).kids()
    (folder / f"{made}.pem").unlink()  # nobody waits half a minute here: a key whose second has come does the same
    kid = make_signing_key(folder, int(time.time()) - 1)
    token = sign_token(
        KeyFolder(folder), "local", "darkroom", user.subject, now_s=int(time.time()), ttl_s=600, idle_s=600
    )
    await _until(user.http, token, 200)
    (folder / f"{kid}.pem").unlink()
    await _until(user.http, token, 401)
    ok(await user.http.get("/v1/account"))


async def test_accesses_reach_their_topic_and_name_nobody(stack: Stack, user: Client) -> None:
    asset = ok(await user.upload(name="holiday.jpg"))["id"]
    job = ok(await user.submit())["id"]
    for _ in range(3):
        await user.get(f"/v1/jobs/{job}")
    assert (await user.get(f"/v1/media/{asset}")).status_code == 200
    link = ok(await user.http.get(f"/v1/assets/{asset}", headers={"Accept": "application/json"}))["signed_url"]
    async with httpx.AsyncClient() as anybody:
        assert (await anybody.get(link)).status_code == 200
    settings = settings_of(Layout(stack.data))
    account = _account(settings, user.subject)
    records = await _accesses(settings, account, {"get-signed-media"})
    accesses = [access for record in records for access in record.accesses]
    touched = {(access.operation, access.action, access.role, access.objects[:1]) for access in accesses}
    assert touched >= {
        ("upload-asset", "change", "user", (asset,)),
        ("submit-job", "change", "user", (job,)),
        ("get-job", "read", "user", (job,)),
        ("get-media", "read", "user", (asset,)),
        ("get-signed-media", "read", "link", (asset,)),
        ("grant-credits", "change", "admin", ()),
    }
    assert sum(access.times for access in accesses if access.operation == "get-job") == 3
    assert {access.actor for access in accesses} == {account, _account(settings, "operator"), None}
    assert len({access.address for access in accesses}) == 1
    assert user.subject not in repr(records)
    assert "127.0.0.1" not in repr(records)


def _is_taken(gateway: GatewayLog, token: str) -> bool:
    try:
        gateway.authenticator.caller(token)
    except TokenInvalid:
        return False
    return True


def _account(settings: Settings, subject: str) -> str:
    key = bytes.fromhex((settings.secrets_dir / "identifier.key").read_text().strip())
    return account_id(key, "darkroom", subject)


def _restart_gateway(stack: Stack, pid: int) -> None:
    """Kill the gateway and wait until the supervisor's next one is healthy."""
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while True:
        row = stack.status()["gateway-0"]
        if row["healthy"] and row["pid"] not in (None, pid):
            return
        assert time.monotonic() < deadline, "the gateway did not come back"
        time.sleep(0.2)


async def _until(http: httpx.AsyncClient, token: str, status: int, limit_s: float = 15.0) -> None:
    deadline = time.monotonic() + limit_s
    while (answer := await http.get("/v1/account", headers=bearer(token))).status_code != status:
        assert time.monotonic() < deadline, f"not {status} after {limit_s} s: {answer.text}"
        await asyncio.sleep(0.2)


async def _accesses(settings: Settings, account: str, wanted: set[str], limit_s: float = 10.0) -> list[AccessRecord]:
    """The account's records, once they tell of the wanted operations; each batch once."""
    client = await start_client(settings.kafka)
    try:
        deadline = time.monotonic() + limit_s
        while True:
            reader, found = KafkaLogReader(client), {}
            async for batch in reader.read(ACCESSES, partition_of(account, settings.partitions), 0):
                for record in batch:
                    if record.key == account.encode():
                        decoded = decode_accesses(record.value or b"")
                        found[decoded.batch] = decoded
            if wanted <= {access.operation for record in found.values() for access in record.accesses}:
                return list(found.values())
            assert time.monotonic() < deadline, f"only {found}"
            await asyncio.sleep(0.2)
    finally:
        await client.close()
