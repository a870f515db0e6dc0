"""The administrator's password: kept as a hash, dear to guess, the same time for every wrong answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from argon2 import extract_parameters
from argon2.exceptions import VerifyMismatchError

from infra.errors import OperatorError
from infra.http import passwords as module
from infra.http.passwords import (
    AT_A_TIME,
    PASSWORD_CHARS_MAX,
    WAITING_MAX,
    AdminPassword,
    TooManyLogins,
    load_admin_password,
)
from infra.local.layout import Layout, claim, make_secrets
from infra.settings import SettingsError

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def _nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DARKROOM_ADMIN_PASSWORD", raising=False)


@pytest.fixture
def admin() -> Iterator[AdminPassword]:
    made = AdminPassword(PASSWORD)
    yield made
    made.close()


class _Slow:
    """In place of the hasher: notes what it verifies and how many at once, and answers when it may."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.lock = threading.Lock()
        self.at_once = self.most_at_once = 0
        self.asked: list[tuple[str, bytes]] = []

    def verify(self, hashed: str, password: bytes) -> bool:
        with self.lock:
            self.asked.append((hashed, password))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        self.may_answer.wait(30)
        with self.lock:
            self.at_once -= 1
        if password != PASSWORD.encode():
            raise VerifyMismatchError
        return True


@pytest.fixture
def slow(admin: AdminPassword, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Slow]:
    made = _Slow()
    monkeypatch.setattr(module, "_HASHER", made)
    yield made
    made.may_answer.set()


async def test_only_the_administrator_s_own_password_counts(admin: AdminPassword) -> None:
    assert await admin.verify("admin", PASSWORD)
    for user, password in [
        ("admin", ""),
        ("admin", PASSWORD + " "),
        ("admin", PASSWORD.upper()),
        ("admin", "\ud800"),
        ("Admin", PASSWORD),
        ("", PASSWORD),
        ("\ud800", PASSWORD),
        ("administrator", PASSWORD),
    ]:
        assert not await admin.verify(user, password)


async def test_a_password_is_not_cut() -> None:
    admin = AdminPassword("x" * PASSWORD_CHARS_MAX)
    assert await admin.verify("admin", "x" * PASSWORD_CHARS_MAX)
    assert not await admin.verify("admin", "x" * (PASSWORD_CHARS_MAX + 1))
    admin.close()


def test_what_is_kept_is_a_hash_of_argon2id(admin: AdminPassword) -> None:
    texts = [value for value in vars(admin).values() if isinstance(value, str)]
    assert len(texts) == 1
    found = extract_parameters(texts[0])
    assert texts[0].startswith("$argon2id$")
    assert (found.memory_cost, found.time_cost, found.parallelism, found.salt_len) == (19_456, 2, 1, 16)
    assert PASSWORD not in repr(vars(admin))


async def test_whoever_is_named_the_same_work_is_done(admin: AdminPassword, slow: _Slow) -> None:
    slow.may_answer.set()
    await admin.verify("admin", "wrong")
    await admin.verify("nobody", "wrong")
    await admin.verify("nobody", PASSWORD)
    assert [password for _, password in slow.asked] == [b"wrong", b"wrong", PASSWORD.encode()]
    assert len({hashed for hashed, _ in slow.asked}) == 1


async def test_few_are_verified_at_a_time_beside_the_event_loop(admin: AdminPassword, slow: _Slow) -> None:
    logins = [asyncio.create_task(admin.verify("admin", PASSWORD)) for _ in range(AT_A_TIME + WAITING_MAX)]
    while slow.at_once < AT_A_TIME:
        await asyncio.sleep(0.001)
    with pytest.raises(TooManyLogins):
        await admin.verify("admin", PASSWORD)
    slow.may_answer.set()
    assert all(await asyncio.gather(*logins))
    assert slow.most_at_once == AT_A_TIME
    assert await admin.verify("admin", PASSWORD)


async def test_clients_that_go_away_leave_their_places(admin: AdminPassword, slow: _Slow) -> None:
    logins = [asyncio.create_task(admin.verify("admin", "wrong")) for _ in range(AT_A_TIME + WAITING_MAX)]
    while slow.at_once < AT_A_TIME:
        await asyncio.sleep(0.001)
    for login in logins:
        login.cancel()
    await asyncio.gather(*logins, return_exceptions=True)
    slow.may_answer.set()
    assert await admin.verify("admin", PASSWORD)
    assert len(slow.asked) == AT_A_TIME + 1


async def test_the_first_start_makes_one(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "var")
    claim(layout).release()
    make_secrets(layout)
    path = layout.secrets / "admin-password"
    assert path.stat().st_mode & 0o777 == 0o600
    admin = load_admin_password(layout.secrets)
    assert await admin.verify("admin", path.read_text().strip())
    assert not await admin.verify("admin", PASSWORD)
    admin.close()


async def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "admin-password").write_text("from the file\n")
    for given, counts in ((PASSWORD, PASSWORD), ("", "from the file")):
        monkeypatch.setenv("DARKROOM_ADMIN_PASSWORD", given)
        admin = load_admin_password(tmp_path)
        assert await admin.verify("admin", counts)
        assert not await admin.verify("admin", "")
        admin.close()


@pytest.mark.parametrize("given", ["short", "x" * (PASSWORD_CHARS_MAX + 1)])
def test_one_that_cannot_be_used_is_not_told(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_ADMIN_PASSWORD", given)
    with pytest.raises(SettingsError, match="DARKROOM_ADMIN_PASSWORD") as caught:
        load_admin_password(tmp_path)
    assert given not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe", b"x" * (PASSWORD_CHARS_MAX + 1)])
def test_without_a_password_the_cure_is_told(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "admin-password").write_bytes(content)
    with pytest.raises(OperatorError, match=r"admin-password .*start the stack once.*DARKROOM_ADMIN_PASSWORD\.$"):
        load_admin_password(tmp_path)
