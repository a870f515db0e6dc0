"""Which servers in private networks pictures may be fetched from."""

from __future__ import annotations

from typing import Annotated

from pydantic import ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from infra.settings import SettingsError

HostPort = tuple[str, int]


class RemoteSettings(BaseSettings):
    """`DARKROOM_REMOTE_FETCH_ALLOW`: `host:port` pairs with commas between them; empty by default."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_REMOTE_FETCH_", frozen=True, extra="ignore")

    allow: Annotated[tuple[HostPort, ...], NoDecode] = ()

    @field_validator("allow", mode="before")
    @classmethod
    def _pairs(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(_pair(part.strip()) for part in value.split(",") if part.strip())


def load_remote_settings() -> RemoteSettings:
    """The settings of this process. Raises `SettingsError` with one sentence."""
    try:
        return RemoteSettings()
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise SettingsError(f"The setting DARKROOM_REMOTE_FETCH_ALLOW is not usable: {message}.") from error


def _pair(text: str) -> HostPort:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit():
        raise ValueError(f"{text!r} is no host:port")
    return host.strip("[]").lower(), int(port)
