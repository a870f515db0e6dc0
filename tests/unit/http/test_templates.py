"""The pages' templates, style and script: colours that can be read, no other origin, and templates that escape."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infra.http import templates

_FOLDER = Path(templates.__file__).parent / "html"
STYLE = (_FOLDER / "studio.css").read_text()
READ = [
    ("ink", "ground"),
    ("ink", "card"),
    ("ink", "tint"),
    ("soft", "ground"),
    ("soft", "card"),
    ("soft", "tint"),
    ("accent", "ground"),
    ("accent", "card"),
    ("accent-deep", "ground"),
    ("on-accent", "accent"),
    ("on-accent", "accent-deep"),
    ("wrong", "card"),
    ("wrong", "ground"),
    ("wrong", "wrong-tint"),
    ("ground", "wrong"),
    ("ground", "ink"),
    ("good", "good-tint"),
]
SEEN = [("edge", "ground"), ("edge", "card"), ("accent", "ground"), ("accent", "card"), ("accent", "line")]


def colours(scheme: str) -> dict[str, str]:
    light, dark = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", light))
    return found if scheme == "light" else found | dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", dark))


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_read_and_edges_be_seen(scheme: str) -> None:
    known = colours(scheme)
    faint = [(pair, round(contrast(known[pair[0]], known[pair[1]]), 2)) for pair in READ]
    assert [found for found in faint if found[1] < 4.5] == []
    faint = [(pair, round(contrast(known[pair[0]], known[pair[1]]), 2)) for pair in SEEN]
    assert [found for found in faint if found[1] < 3] == []


def test_nothing_comes_from_elsewhere_by_itself() -> None:
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    named = {path.name: re.findall(r"https?://[^\s\"'<]+", path.read_text()) for path in _FOLDER.iterdir()}
    found = {name: urls for name, urls in named.items() if urls}
    assert found == {
        "login.html": ["https://accounts.google.com/gsi/client"],
        "icon.svg": ["http://www.w3.org/2000/svg"],
    }


def test_no_template_turns_escaping_off() -> None:
    for path in _FOLDER.glob("*.html"):
        assert not re.search(r"\|\s*safe|autoescape", path.read_text()), path.name


def test_the_script_writes_no_html_from_texts() -> None:
    script = (_FOLDER / "studio.js").read_text()
    assert not re.search(r"\.innerHTML\s*=[^=]|insertAdjacentHTML|document\.write|eval\(", script)
