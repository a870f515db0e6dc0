"""What is sealed, and for which purpose: one place for whoever seals and whoever opens.

| field | purpose | plaintext |
|---|---|---|
| `Envelope.subject`, `AccountOpened.subject` | `subject` | the subject, UTF-8 |
| `SubmitJob.sealed`, `JobAccepted.sealed`, `WorkItem.sealed` | `job` | `JobSecrets` as JSON |
| `RegisterAsset.sealed`, `AssetRegistered.sealed` | `asset` | `AssetSecrets` as JSON |
| `CreateAlbum.sealed`, `AlbumCreated.sealed` | `album` | `AlbumSecrets` as JSON |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

SUBJECT = "subject"
JOB = "job"
ASSET = "asset"
ALBUM = "album"


class JobSecrets(msgspec.Struct, frozen=True, omit_defaults=True):
    """The client's `metadata` (any JSON object), and free texts among the parameters (prompts)."""

    metadata: Mapping[str, Any] | None = None
    texts: Mapping[str, str] = {}


class AssetSecrets(msgspec.Struct, frozen=True, omit_defaults=True):
    """The file name that the client gave."""

    file_name: str | None = None


class AlbumSecrets(msgspec.Struct, frozen=True, omit_defaults=True):
    """The name that the client gave."""

    name: str | None = None


_job_decoder = msgspec.json.Decoder(JobSecrets)
_asset_decoder = msgspec.json.Decoder(AssetSecrets)
_album_decoder = msgspec.json.Decoder(AlbumSecrets)


def encode_secrets(content: JobSecrets | AssetSecrets | AlbumSecrets) -> bytes:
    """The plaintext to seal."""
    return msgspec.json.encode(content)


def decode_job_secrets(plaintext: bytes) -> JobSecrets:
    """What `JOB` texts hold; raises msgspec.DecodeError."""
    return _job_decoder.decode(plaintext)


def decode_asset_secrets(plaintext: bytes) -> AssetSecrets:
    """What `ASSET` texts hold; raises msgspec.DecodeError."""
    return _asset_decoder.decode(plaintext)


def decode_album_secrets(plaintext: bytes) -> AlbumSecrets:
    """What `ALBUM` texts hold; raises msgspec.DecodeError."""
    return _album_decoder.decode(plaintext)
