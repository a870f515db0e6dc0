"""Settings of every process: one frozen, validated object from the environment and an optional TOML file.

Environment variables start with ``DARKROOM_`` and nest with ``__`` (``DARKROOM_KAFKA__BOOTSTRAP_SERVERS``);
``DARKROOM_SETTINGS`` names a TOML file with the same names. The environment wins over the file.
The same settings point at the local servers and at clusters elsewhere.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from infra.errors import OperatorError
from schemas.topics import LANES

_FOLDER = Path(__file__).resolve().parent
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class SettingsError(OperatorError):
    """The settings cannot be used; the message is one sentence that names the setting and the cure."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KafkaSettings(_Section):
    """How to reach the brokers. TLS files are PEM paths; SASL needs a mechanism, a user and a password."""

    bootstrap_servers: str = "127.0.0.1:9092"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.security_protocol.startswith("SASL") and not (
            self.sasl_mechanism and self.sasl_username and self.sasl_password
        ):
            raise ValueError("SASL needs sasl_mechanism, sasl_username and sasl_password")
        if self.ssl_keyfile is not None and self.ssl_certfile is None:
            raise ValueError("ssl_keyfile needs ssl_certfile")
        for path in (self.ssl_cafile, self.ssl_certfile, self.ssl_keyfile):
            if path is not None and not path.is_file():
                raise ValueError(f"the file {path} cannot be read")
        return self


class S3Settings(_Section):
    """The object store. Any endpoint that speaks S3; ``endpoint_url`` None means the provider's own.

    ``public_endpoint_url`` is where clients reach the same store, for the URLs signed for them; None: the same place.
    """

    endpoint_url: str | None = None
    public_endpoint_url: str | None = None
    region: str = "us-east-1"
    bucket: str = Field(default="darkroom", pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    access_key: str = ""
    secret_key: SecretStr = SecretStr("")


class LaneSettings(_Section):
    """A lane's share of each dispatcher: slots that are its alone, its weight in the draw for the others, and the most.

    ``most`` 0 means as many as there are.
    """

    reserved: int = Field(default=0, ge=0, le=1000)
    weight: int = Field(default=1, ge=1, le=1000)
    most: int = Field(default=0, ge=0, le=1000)


_LANES: Mapping[str, LaneSettings] = {
    "priority": LaneSettings(reserved=2, weight=8),
    "standard": LaneSettings(reserved=3, weight=4),
    "batch": LaneSettings(reserved=1, weight=1),
    "video": LaneSettings(reserved=1, weight=1, most=2),
    "housekeeping": LaneSettings(reserved=1, weight=1, most=2),
}


class SweepSettings(_Section):
    """How often the store is swept of objects that no event names (0: never), and how old they are by then, at least.

    ``older_than_s`` has to be longer than anything between an object and the event that names it.
    """

    every_s: int = Field(default=3_600, ge=0)
    older_than_s: int = Field(default=86_400, ge=3_600)


class GatewaySettings(_Section):
    """Where the HTTP gateway listens, how clients reach it, whose forwarded headers it believes, whose pages it serves.

    ``allowed_origins`` are those of other sites' pages that may send changes with a user's cookie. What it cannot do in
    time it refuses with 503 at once: every request while its event loop is later than ``loop_lag_max_ms``, and what is
    to be decided in a partition whose first undecided command is older than ``behind_after_ms``, once
    ``behind_waiting_min`` wait there and as many as it decides in half a second.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    public_url: str | None = None
    allowed_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    loop_lag_max_ms: int = Field(default=250, ge=10)
    behind_after_ms: int = Field(default=300, ge=10)
    behind_waiting_min: int = Field(default=24, ge=1)

    @field_validator("trusted_proxies")
    @classmethod
    def _are_addresses(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            try:
                ipaddress.ip_network(proxy)
            except ValueError as error:
                raise ValueError(f"{proxy!r} is neither an IP address nor a network such as 10.0.0.0/8") from error
        return proxies

    @property
    def origins(self) -> tuple[str, ...]:
        """Origins whose pages may act for users that a cookie names: the gateway's own, and those allowed."""
        return (self.base_url, *self.allowed_origins)

    @property
    def base_url(self) -> str:
        """The URL that stands in answers, without a trailing slash."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")


class Settings(BaseSettings):
    """All settings. Frozen: a process reads them once."""

    model_config = SettingsConfigDict(
        env_prefix="DARKROOM_", env_nested_delimiter="__", frozen=True, extra="ignore", validate_default=True
    )

    data_dir: Path = Path("var")
    deployment: str = Field(default="local", min_length=1)
    kafka: KafkaSettings = KafkaSettings()
    partitions: int = Field(default=8, ge=1, le=4096)
    replication_factor: int = Field(default=1, ge=1, le=15)
    postgres_dsn: str = "postgresql://127.0.0.1:5432/darkroom"
    s3: S3Settings = S3Settings()
    triton_urls: tuple[str, ...] = Field(default=("127.0.0.1:8001",), min_length=1)
    triton_quarantine_url: str | None = None
    dispatcher_slots: int = Field(default=13, ge=1, le=1000)
    dispatcher_lanes: Mapping[str, LaneSettings] = _LANES
    gateway: GatewaySettings = GatewaySettings()
    sweep: SweepSettings = SweepSettings()
    secrets_dir: Path = Path()
    catalogue_path: Path = _FOLDER / "catalogue.toml"
    plan_path: Path = _FOLDER / "plan.toml"
    onnx_models: Path | None = None
    google_client_id: str | None = None
    google_jwks_url: str = "https://www.googleapis.com/oauth2/v3/certs"
    google_issuer: str = Field(default="https://accounts.google.com", min_length=1)
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    worker_name: str | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="before")
    @classmethod
    def _default_secrets(cls, values: dict[str, object]) -> dict[str, object]:
        if "secrets_dir" in values:
            return values
        return {**values, "secrets_dir": Path(str(values.get("data_dir", "var"))) / "secrets"}

    @field_validator("google_client_id")
    @classmethod
    def _empty_is_none(cls, client_id: str | None) -> str | None:
        return client_id or None

    @field_validator("google_jwks_url")
    @classmethod
    def _is_safe(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.hostname is None or parts.scheme not in ("https", "http"):
            raise ValueError("it has to be an https URL")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise ValueError("http would let others put their keys in; it is for this machine alone, use https")
        return url

    @field_validator("dispatcher_lanes")
    @classmethod
    def _slots_suffice(cls, lanes: Mapping[str, LaneSettings], known: ValidationInfo) -> Mapping[str, LaneSettings]:
        unknown = sorted(set(lanes) - set(LANES))
        if unknown:
            raise ValueError(f"there is no lane {unknown[0]}, only {', '.join(LANES)}")
        reserved, slots = sum(lane.reserved for lane in lanes.values()), known.data.get("dispatcher_slots", 0)
        if reserved > slots:
            raise ValueError(f"{reserved} slots are reserved, and dispatcher_slots has {slots}")
        return lanes

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        path = os.environ.get("DARKROOM_SETTINGS")
        if path is None:
            return (init_settings, env_settings)
        if not Path(path).is_file():
            raise SettingsError(f"DARKROOM_SETTINGS names {path}, which is not a file: correct the path or unset it.")
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls, Path(path)))


def load_settings() -> Settings:
    """The settings of this process. Raises `SettingsError` with one sentence that names the first bad setting."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "DARKROOM_" + "__".join(str(part).upper() for part in first["loc"])
        raise SettingsError(f"The setting {name} is not usable: {first['msg']}.") from error
