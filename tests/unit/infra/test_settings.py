"""Settings: from the environment and a file, validated, frozen, for servers anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from infra.settings import Settings, SettingsError, load_settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DARKROOM_SETTINGS", raising=False)


def test_secrets_lie_in_the_data_directory_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_DATA_DIR", "/srv/darkroom")
    assert load_settings().secrets_dir == Path("/srv/darkroom/secrets")
    monkeypatch.setenv("DARKROOM_SECRETS_DIR", "/run/secrets")
    assert load_settings().secrets_dir == Path("/run/secrets")


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "darkroom.toml"
    file.write_text('deployment = "berlin"\npartitions = 64\n[kafka]\nbootstrap_servers = "a:9092"\n')
    monkeypatch.setenv("DARKROOM_SETTINGS", str(file))
    monkeypatch.setenv("DARKROOM_PARTITIONS", "16")
    settings = load_settings()
    assert (settings.deployment, settings.partitions, settings.kafka.bootstrap_servers) == ("berlin", 16, "a:9092")


def test_kafka_by_tls_and_sasl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("x")
    for name, value in {
        "SECURITY_PROTOCOL": "SASL_SSL",
        "SSL_CAFILE": str(authority),
        "SASL_MECHANISM": "SCRAM-SHA-512",
        "SASL_USERNAME": "darkroom",
        "SASL_PASSWORD": "secret",
    }.items():
        monkeypatch.setenv(f"DARKROOM_KAFKA__{name}", value)
    kafka = load_settings().kafka
    assert kafka.ssl_cafile == authority
    assert kafka.sasl_password is not None
    assert kafka.sasl_password.get_secret_value() == "secret"
    assert "secret" not in repr(kafka)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("DARKROOM_KAFKA__SECURITY_PROTOCOL", "SASL_SSL", "sasl_mechanism"),
        ("DARKROOM_KAFKA__SSL_CAFILE", "/nowhere/ca.pem", "/nowhere/ca.pem"),
        ("DARKROOM_KAFKA__SSL_KEYFILE", __file__, "ssl_certfile"),
        ("DARKROOM_PARTITIONS", "0", "DARKROOM_PARTITIONS"),
        ("DARKROOM_GATEWAY__PORT", "70000", "DARKROOM_GATEWAY__PORT"),
        ("DARKROOM_SETTINGS", "/nowhere.toml", "/nowhere.toml"),
    ],
)
def test_a_bad_setting_is_one_sentence_that_names_it(
    name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_are_frozen() -> None:
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.partitions = 3  # type: ignore[misc]  # the type checker knows it too


def test_the_base_url_is_the_public_one_without_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().gateway.base_url == "http://127.0.0.1:8000"
    monkeypatch.setenv("DARKROOM_GATEWAY__PUBLIC_URL", "https://pictures.example/")
    assert load_settings().gateway.base_url == "https://pictures.example"


@pytest.mark.parametrize(
    ("lanes", "problem"),
    [('{"express": {}}', "there is no lane express"), ('{"batch": {"reserved": 14}}', "14 slots are reserved")],
)
def test_lanes_that_cannot_be_are_named(lanes: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_DISPATCHER_LANES", lanes)
    with pytest.raises(SettingsError, match=f"DARKROOM_DISPATCHER_LANES is not usable.*{problem}"):
        load_settings()


def test_lanes_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_DISPATCHER_SLOTS", "4")
    monkeypatch.setenv("DARKROOM_DISPATCHER_LANES", '{"priority": {"reserved": 2, "weight": 3}, "video": {"most": 1}}')
    lanes = load_settings().dispatcher_lanes
    assert (lanes["priority"].reserved, lanes["priority"].weight, lanes["video"].most) == (2, 3, 1)
