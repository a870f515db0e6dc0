"""Signing keys: begun in their time, known to every verifier before it, gone with their file."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from infra.errors import OperatorError
from infra.http.signing_keys import BLIND_MAX_S, LOOK_EVERY_S, KeyFolder, begins_s, signing_kid
from infra.http.tokens import TokenInvalid, TokenVerifier, sign_token
from tests.http.fakes import make_keys

IDENTIFIERS = b"i" * 32
NOW_S = 1_800_000_000


class World:
    """A folder with one key, a clock, and verifiers that look at it each in their own time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now_s = float(NOW_S)
        make_keys(folder, f"{NOW_S - 1000}-a")

    def verifier(self) -> TokenVerifier:
        return TokenVerifier(KeyFolder(self.folder, lambda: self.now_s), IDENTIFIERS, "local", lambda: self.now_s)

    def token(self) -> str:
        return sign_token(KeyFolder(self.folder), "local", "darkroom", "a", now_s=int(self.now_s), ttl_s=3600)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "jwt")


def takes(verifier: TokenVerifier, token: str) -> bool:
    try:
        verifier.verify(token)
    except TokenInvalid:
        return False
    return True


def kid_of(world: World) -> str:
    """The key that signs now."""
    return KeyFolder(world.folder).signing(world.now_s)[0]


def test_a_rotation_is_seen_by_no_client(world: World) -> None:
    verifiers = [world.verifier(), world.verifier()]
    tokens = [world.token()]
    make_keys(world.folder, f"{NOW_S + 30}-b")
    signers = set()
    for second in range(120):
        world.now_s = NOW_S + second
        signers.add(kid_of(world))
        tokens.append(world.token())
        busy, quiet = verifiers
        assert takes(busy, tokens[-1])
        assert all(takes(busy, token) for token in tokens)
        if second % 40 == 39:  # this one looks at the folder when it is asked, and it is asked seldom
            assert all(takes(quiet, token) for token in tokens)
    assert signers == {f"{NOW_S - 1000}-a", f"{NOW_S + 30}-b"}
    assert kid_of(world) == f"{NOW_S + 30}-b"


def test_a_key_whose_file_is_gone_counts_no_more_for_any_verifier(world: World) -> None:
    verifiers, old = [world.verifier(), world.verifier()], world.token()
    assert all(takes(verifier, old) for verifier in verifiers)
    make_keys(world.folder, f"{NOW_S}-b")
    new = world.token()
    (world.folder / f"{NOW_S - 1000}-a.pem").unlink()
    world.now_s += LOOK_EVERY_S + 0.1
    for verifier in verifiers:
        assert takes(verifier, new)
        assert not takes(verifier, old)


def test_a_key_that_is_replaced_under_its_name_is_another_key(world: World) -> None:
    verifier, old = world.verifier(), world.token()
    assert takes(verifier, old)
    path = world.folder / f"{NOW_S - 1000}-a.pem"
    path.unlink()
    make_keys(world.folder, f"{NOW_S - 1000}-a")
    world.now_s += LOOK_EVERY_S + 0.1
    assert not takes(verifier, old)
    assert takes(verifier, world.token())


def test_a_half_copied_or_strange_key_is_left_out_and_found_when_it_is_whole(world: World) -> None:
    verifier, old = world.verifier(), world.token()
    assert takes(verifier, old)
    strange = generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (world.folder / "9-rsa.pem").write_bytes(strange)
    make_keys(world.folder, f"{NOW_S}-b")
    path = world.folder / f"{NOW_S}-b.pem"
    whole = path.read_bytes()
    new = world.token()
    path.write_bytes(whole[:40])
    world.now_s += LOOK_EVERY_S + 0.1
    assert takes(verifier, old)
    assert not takes(verifier, new)
    assert KeyFolder(world.folder).kids() == [f"{NOW_S - 1000}-a"]
    path.write_bytes(whole)
    world.now_s += LOOK_EVERY_S + 0.1
    assert takes(verifier, new)


def test_a_folder_that_cannot_be_listed_leaves_keys_in_force_for_half_a_minute(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier, token = world.verifier(), world.token()
    assert takes(verifier, token)

    def refuse(_: Path) -> None:
        raise OSError(24, "too many open files")

    monkeypatch.setattr("infra.http.signing_keys.os.scandir", refuse)
    world.now_s += BLIND_MAX_S - 1
    assert takes(verifier, token)
    world.now_s += LOOK_EVERY_S + 1
    assert not takes(verifier, token)
    monkeypatch.undo()
    world.now_s += LOOK_EVERY_S + 1
    assert takes(verifier, token)


def test_a_folder_without_keys_or_none_at_all(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        assert KeyFolder(folder).public_key("k") is None
        with pytest.raises(OperatorError, match="no signing key"):
            KeyFolder(folder).signing(NOW_S)


def test_names_say_from_when_on_a_key_signs() -> None:
    assert [begins_s(kid) for kid in ("17-a", "17", "a-17", "-17", "١٧-a")] == [17, 17, 0, 0, 0]
    assert signing_kid(["9-b", "10-a", "30-c"], 20) == "10-a"
    assert signing_kid(["k1", "5-a"], 1) == "k1"
    assert signing_kid(["40-b", "30-c"], 20) == "30-c"
