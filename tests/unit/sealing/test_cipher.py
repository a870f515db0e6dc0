"""Sealed texts open for their account and purpose alone."""

import pytest

from infra.sealing.cipher import DataKey, SealBroken, key_id_of, new_secret, open_sealed, seal, unwrap, wrap

KEY = DataKey("key_a", new_secret())


def test_round_trip() -> None:
    sealed = seal(KEY, "acct_1", "job", b'{"metadata":{}}')
    assert key_id_of(sealed) == "key_a"
    assert open_sealed(KEY, "acct_1", "job", sealed) == b'{"metadata":{}}'
    assert b"metadata" not in sealed.encode()
    assert seal(KEY, "acct_1", "job", b"x") != seal(KEY, "acct_1", "job", b"x")


@pytest.mark.parametrize(
    ("account", "purpose", "key"),
    [("acct_2", "job", KEY), ("acct_1", "asset", KEY), ("acct_1", "job", DataKey("key_a", new_secret()))],
)
def test_another_account_purpose_or_key_does_not_open(account: str, purpose: str, key: DataKey) -> None:
    sealed = seal(KEY, "acct_1", "job", b"secret")
    with pytest.raises(SealBroken):
        open_sealed(key, account, purpose, sealed)


@pytest.mark.parametrize("text", ["", "nodot", ".x", "key_a.", "key_a.AAAA", "key_a.***", "key_a.ü"])
def test_other_texts_do_not_open(text: str) -> None:
    with pytest.raises(SealBroken):
        open_sealed(KEY, "acct_1", "job", text)


def test_a_changed_text_does_not_open() -> None:
    sealed = seal(KEY, "acct_1", "job", b"secret")
    changed = sealed[:-2] + ("A" if sealed[-2] != "A" else "B") + sealed[-1]
    with pytest.raises(SealBroken):
        open_sealed(KEY, "acct_1", "job", changed)


def test_wrapped_keys_are_bound_to_account_key_id_and_wrapping_key() -> None:
    wrapping = new_secret()
    wrapped = wrap(wrapping, "acct_1", KEY)
    assert unwrap(wrapping, "acct_1", "key_a", wrapped) == KEY
    for arguments in ((wrapping, "acct_2", "key_a"), (wrapping, "acct_1", "key_b"), (new_secret(), "acct_1", "key_a")):
        with pytest.raises(SealBroken):
            unwrap(*arguments, wrapped)
    with pytest.raises(SealBroken):
        unwrap(wrapping, "acct_1", "key_a", b"\x02" + wrapped[1:])


def test_a_key_does_not_print_its_secret() -> None:
    assert KEY.secret.hex() not in repr(KEY)
    assert repr(KEY.secret) not in repr(KEY)
