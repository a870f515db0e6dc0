"""What a media process does with one picture, by Pillow. Blocking; runs where a crash costs nothing."""

from __future__ import annotations

import io
import warnings
from typing import IO

from PIL import Image, ImageCms, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from infra.media.header import SNIFF_BYTES, Format, sniff

_FORMATS: dict[str, Format] = {"JPEG": "jpeg", "PNG": "png", "WEBP": "webp", "HEIF": "heic"}
_ORIENTATION_TAG = 0x0112
_DESCRIPTION_TAG = 0x010E
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PROFILE_SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}
_LARGE_PIXELS = 8_000_000


class PictureRefused(Exception):
    """The picture cannot be decoded; the message is one sentence."""


def decode_picture(source: IO[bytes], pixels_max: int) -> tuple[Image.Image, Format]:
    """Decode to an upright RGB or RGBA picture in 8-bit sRGB. Raises PictureRefused for anything that fails."""
    Image.MAX_IMAGE_PIXELS = pixels_max
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(source, formats=_readable(source))
            if image.width * image.height > pixels_max:
                raise PictureRefused(f"The picture has more than {pixels_max // 1_000_000} megapixels.")
            found = _FORMATS[image.format or ""]
            orientation = _orientation(image)
            image.load()
            upright = _UPRIGHT.get(orientation)
            return _to_srgb(image if upright is None else image.transpose(upright), _profile(image)), found
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise PictureRefused(f"The picture has more than {pixels_max // 1_000_000} megapixels.") from error
    except MemoryError as error:
        raise PictureRefused("The picture needs more memory than one picture may have.") from error
    except UnidentifiedImageError as error:
        raise PictureRefused("The bytes are no JPEG, PNG, WebP or HEIC picture.") from error
    except PictureRefused:
        raise
    except Exception as error:  # a broken file makes Pillow raise nearly anything
        raise PictureRefused(f"The picture is broken: {error}.") from error


def _readable(source: IO[bytes]) -> list[str]:
    """The formats to try; the HEIC decoder is loaded only for pictures that are such."""
    found = sniff(source.read(SNIFF_BYTES))
    source.seek(0)
    if found != "heic":
        return [name for name in _FORMATS if name != "HEIF"]
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
    return ["HEIF"]


def encode_picture(image: Image.Image, target: IO[bytes], format: Format, label: str = "") -> None:
    """Write the file, without metadata but for the label: EXIF's image description, in PNG the text `Description`."""
    exif = Image.Exif()
    if label:
        exif[_DESCRIPTION_TAG] = label
    if format == "jpeg":
        image.save(target, "JPEG", quality=92, subsampling=0, exif=exif)
    elif format == "png":
        described = PngInfo()
        if label:
            described.add_text("Description", label)
        image.save(target, "PNG", compress_level=1, pnginfo=described)
    elif format == "webp":
        method = 1 if image.width * image.height > _LARGE_PIXELS else 4
        image.save(target, "WEBP", quality=92, method=method, exif=exif)
    else:
        raise ValueError("results are never written as HEIC")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # metadata that makes no sense does not make the pixels worthless
        return 1


def _profile(image: Image.Image) -> ImageCms.ImageCmsProfile | None:
    """Open the embedded profile, where it is usable and not sRGB already."""
    embedded = image.info.get("icc_profile")
    if not embedded:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(embedded))
        return None if ImageCms.getProfileDescription(profile).startswith("sRGB") else profile
    except (OSError, ImageCms.PyCMSError):
        return None


def _to_srgb(image: Image.Image, profile: ImageCms.ImageCmsProfile | None) -> Image.Image:
    image = _to_8_bits(image)
    if image.has_transparency_data:
        straight = image.convert("RGBA")
        alpha = straight.getchannel("A")
        colour = _by_profile(straight.convert("RGB"), profile)
        colour.putalpha(alpha)
        return colour
    if image.mode not in _PROFILE_SPACES:
        image = image.convert("RGB")
    return _by_profile(image, profile)


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Bring greys of 16 bits down to 8, with their transparent level; every other mode has 8 bits already."""
    if not image.mode.startswith("I"):
        return image
    wide = image.convert("I")
    grey = wide.point([(level + 128) // 257 for level in range(1 << 16)], "L")
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey.putalpha(wide.point([0 if level == transparent else 255 for level in range(1 << 16)], "L"))
    return grey


def _by_profile(image: Image.Image, profile: ImageCms.ImageCmsProfile | None) -> Image.Image:
    if profile is not None and profile.profile.xcolor_space == _PROFILE_SPACES[image.mode]:
        try:
            converted = ImageCms.profileToProfile(
                image,
                profile,
                ImageCms.createProfile("sRGB"),
                renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                outputMode="RGB",
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
        except ImageCms.PyCMSError:
            converted = None  # a profile that cannot be used is worth less than the plain pixels
        if converted is not None:
            return converted
    return image.convert("RGB")
