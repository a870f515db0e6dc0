"""Files that are not what they say: other types, polyglots that are two things at once, and names that are traps."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from collections.abc import Iterator, Mapping

from tests.hostile.chunks import gif, png_chunk, riff, riff_chunk, segment, tiff, vp8x, webp_chunks, with_png_chunks
from tests.hostile.chunks import with_segments as with_jpeg_segments
from tests.hostile.picture_damage import good
from tests.hostile.pictures import HostilePicture, Maker

SCRIPT = b"<html><body><script>alert(document.cookie)</script></body></html>"
_SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>'
_SVG_ENTITY = b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>'
_MVG = b"push graphic-context\nviewbox 0 0 640 480\nfill 'url(https://127.0.0.1/\"|id\")'\npop graphic-context"
_TYPES = (
    "text/html", "image/svg+xml", "application/xhtml+xml", "text/javascript", "application/pdf", "image/gif",
    "application/octet-stream", "multipart/form-data", "x", "", "image/jpeg; charset=utf-8; boundary=x",
)  # fmt: skip
_NAMES = (
    "../../../../etc/passwd", "..\\..\\windows\\win.ini", "/etc/shadow", "a.html", "a.svg", "a.php.jpg", "a.jpg.exe",
    "CON", "a" * 3_000, "\u202egpj.exe", "<script>alert(1)</script>.jpg", "'; DROP TABLE assets; --.jpg",
    "a%00.html", "%2e%2e%2fetc", "$(id).jpg", "`id`.jpg", "|id", "a;b.jpg", "Ω≈ç√.jpg", "\u0001\u001b[2J.jpg", " ", ".",
    "..", "a\tb.jpg", "{{7*7}}.jpg", "%s%n%x.jpg",
)  # fmt: skip


def _zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("index.html", (2020, 1, 1, 0, 0, 0)), SCRIPT)
    return buffer.getvalue()


def _others() -> Iterator[HostilePicture]:
    """Types that are never taken, some of which other programs would run."""
    files: Mapping[str, bytes] = {
        "svg": _SVG,
        "svg-entity": _SVG_ENTITY,
        "svg-packed": gzip.compress(_SVG, mtime=0),
        "html": SCRIPT,
        "gif": good("gif"),
        "bmp": good("bmp"),
        "tiff": good("tiff"),
        "tiff-by-hand": tiff(8, 8, b"x"),
        "ico": good("ico", 16, 16),
        "psd": b"8BPS\0\x01" + bytes(6) + struct.pack(">HIIHH", 3, 99_999, 99_999, 8, 3) + bytes(99),
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) (w) file\n",
        "pdf": b"%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert\\(1\\))>>>>endobj\n",
        "mvg": _MVG,
        "msl": b'<?xml version="1.0"?><image><read filename="/etc/passwd"/><write filename="/tmp/x"/></image>',
        "xpm": b'/* XPM */ static char *x[]={"9999999 9999999 1 1","a c red"};',
        "ppm": b"P6\n2147483647 2147483647\n255\n",
        "php": b"<?php system($_GET[0]); ?>",
        "elf": b"\x7fELF\x02\x01\x01" + bytes(57),
        "zip": _zipped(),
        "mp4": b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + bytes(99),
        "jxl": b"\xff\x0a" + bytes(99),
        "jp2": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99),
        "text": b"this is no picture, whatever its name says",
        "nul": bytes(1_000),
        "spaces": b" " * 1_000,
        "json": b'{"file": "picture"}',
        "magic-not-first": b"\n" + good("png"),
        "bom-before": b"\xef\xbb\xbf" + good("jpeg"),
    }
    for name, content in files.items():
        yield HostilePicture(f"other/{name}", content, "refused")


def _polyglots() -> Iterator[HostilePicture]:
    """A picture for one reader, a page, script or archive for another."""
    zipped = _zipped()
    yield HostilePicture("polyglot/gif-and-script", gif(10_799, 10_799, 1, b"=1;alert(1)//"), "refused", "a.js")
    yield HostilePicture(
        "polyglot/jpeg-comment-page",
        with_jpeg_segments(good("jpeg"), segment(0xFE, SCRIPT)),
        "taken",
        "a.html",
        "text/html",
    )
    for form in ("jpeg", "png", "webp", "heic"):
        yield HostilePicture(f"polyglot/{form}-and-page", good(form) + SCRIPT, "taken", "a.html", "text/html")
        yield HostilePicture(f"polyglot/{form}-and-zip", good(form) + zipped, "taken", "a.zip", "application/zip")
        yield HostilePicture(f"polyglot/{form}-and-svg", good(form) + _SVG, "taken", "a.svg", "image/svg+xml")
        script = b"\n<?php system('id'); ?>\n"
        yield HostilePicture(f"polyglot/{form}-and-php", good(form) + script, "taken", "a.php", "text/php")
    page = with_png_chunks(good("png"), png_chunk(b"tEXt", b"Comment\0" + SCRIPT))
    yield HostilePicture("polyglot/png-text-page", page, "taken", "a.html", "text/html")
    marked = riff(vp8x(48, 32, 4), webp_chunks(good("webp")), riff_chunk(b"XMP ", SCRIPT))
    yield HostilePicture("polyglot/webp-xmp-page", marked, "taken", "a.html", "text/html")
    yield HostilePicture("polyglot/page-and-jpeg", SCRIPT + good("jpeg"), "refused", "a.html", "text/html")
    yield HostilePicture("polyglot/pdf-and-jpeg", b"%PDF-1.7\n" + good("jpeg"), "refused")
    yield HostilePicture("polyglot/jpeg-and-elf", good("jpeg") + b"\x7fELF" + bytes(200), "taken", "a.exe")


def _names() -> Iterator[HostilePicture]:
    """Good pictures whose names and types are traps: what counts is what the bytes are."""
    forms = ("jpeg", "png", "webp")
    for number, name in enumerate(_NAMES):
        yield HostilePicture(f"name/{number}", good(forms[number % 3]), "taken", name)
    for number, kind in enumerate(_TYPES):
        yield HostilePicture(f"type/{number}", good(forms[number % 3]), "taken", "picture.bin", kind)


MAKERS: Mapping[str, Maker] = {"other": _others, "polyglot": _polyglots, "name": _names}
