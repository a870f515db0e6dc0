"""Document 004, studio: its integers, request ids and media paths, each a bijection with what the core has. Pure.

An asset's `id` is its number, which counts in its own account and tells nothing of others. Pictures stand at
`/static/generated/img_<number>.<extension>`, videos at `/video/<short key>` with a JPEG at
`/static/generated/thumbnails/video_<number>_thumb.jpg`. The short key is the number under a fixed permutation, so that
it has always 8 characters and does not show the number plainly. It is no secret: the session decides who may read.
Every path has one spelling; any other is the path of nothing.
"""

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

MediaKind = Literal["image", "video"]
GENERATED, THUMBNAILS, VIDEO = "/static/generated", "/static/generated/thumbnails", "/video"
EXTENSIONS: Mapping[str, str] = {"jpeg": "jpg", "png": "png", "webp": "webp", "mp4": "mp4", "webm": "webm"}
"""Of a file name, by the format of the bytes."""
NUMBER_MAX = (1 << 40) - 1

_VIDEOS = ("mp4", "webm")
_NUMBER = re.compile(r"[1-9][0-9]{0,12}", re.ASCII)
_IMAGE_NAME = re.compile(r"img_([1-9][0-9]{0,12})\.([a-z]{3,4})", re.ASCII)
_THUMBNAIL_NAME = re.compile(r"video_([1-9][0-9]{0,12})_thumb\.jpg", re.ASCII)
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_KEY = re.compile(f"[{_ALPHABET}]{{8}}")
_HALF_BITS = 20
_FACTORS = (0x9E3779B97F, 0xC2B2AE3D27)  # odd, so each has an inverse among 40 bits
_INVERSES = tuple(pow(factor, -1, NUMBER_MAX + 1) for factor in _FACTORS)
_REQUEST = re.compile(r"req_([a-z2-7]{26})", re.ASCII)


class Media(msgspec.Struct, frozen=True):
    """What a media path names: the picture or video of this number. A picture's extension has to be its format's."""

    kind: MediaKind
    number: int
    extension: str | None = None


def number_of(text: str) -> int | None:
    """The number of an asset that a path names; None for what is none."""
    return _bounded(text) if _NUMBER.fullmatch(text) else None


def media_kind(form: str) -> MediaKind:
    """Whether bytes of this format are a picture or a video."""
    return "video" if form in _VIDEOS else "image"


def file_name(number: int, form: str) -> str:
    """What a download of the asset is called."""
    stem = "video" if form in _VIDEOS else "img"
    return f"{stem}_{number}.{EXTENSIONS.get(form, form)}"


def media_url(number: int, form: str) -> str:
    """The path of the asset's bytes."""
    return f"{VIDEO}/{short_key(number)}" if form in _VIDEOS else f"{GENERATED}/{file_name(number, form)}"


def thumbnail_url(number: int) -> str:
    """The path of a video's still picture."""
    return f"{THUMBNAILS}/video_{number}_thumb.jpg"


def image_named(name: str) -> Media | None:
    """What `/static/generated/<name>` is."""
    match = _IMAGE_NAME.fullmatch(name)
    number = None if match is None else _bounded(match[1])
    return None if match is None or number is None else Media("image", number, match[2])


def video_of_key(key: str) -> Media | None:
    """What `/video/<key>` is."""
    number = number_of_key(key)
    return None if number is None else Media("video", number)


def video_of_thumbnail(name: str) -> Media | None:
    """Whose still picture `/static/generated/thumbnails/<name>` is."""
    match = _THUMBNAIL_NAME.fullmatch(name)
    number = None if match is None else _bounded(match[1])
    return None if number is None else Media("video", number)


def media_at(path: str) -> Media | None:
    """The picture or video at a path as answers show it in `url`; None for every other text."""
    folder, _, name = path.rpartition("/")
    if folder == VIDEO:
        return video_of_key(name)
    return image_named(name) if folder == GENERATED else None


def short_key(number: int) -> str:
    """The number as a short key."""
    if not 0 < number <= NUMBER_MAX:
        raise ValueError(f"there is no key of {number}")
    mixed = number
    for factor in _FACTORS:
        mixed = mixed * factor & NUMBER_MAX
        mixed ^= mixed >> _HALF_BITS
    return "".join(_ALPHABET[mixed >> shift & 31] for shift in range(35, -1, -5))


def number_of_key(key: str) -> int | None:
    """The number that has this key; None for what is no key."""
    if not _KEY.fullmatch(key):
        return None
    mixed = 0
    for character in key:
        mixed = mixed << 5 | _ALPHABET.index(character)
    for inverse in reversed(_INVERSES):
        mixed ^= mixed >> _HALF_BITS
        mixed = mixed * inverse & NUMBER_MAX
    return mixed or None


def request_id(job: str) -> str:
    """The request id of a job."""
    return f"req_{job.removeprefix('job_')}"


def job_of_request(request: str) -> str | None:
    """The job of a request id; None for what is none."""
    match = _REQUEST.fullmatch(request)
    return None if match is None else f"job_{match[1]}"


def _bounded(digits: str) -> int | None:
    number = int(digits)
    return number if number <= NUMBER_MAX else None
