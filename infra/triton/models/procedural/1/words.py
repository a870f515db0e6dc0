"""What a prompt names, as far as a table of words knows it: a scene, a time of day, weather, things, colours.

Words that the table does not know choose by their hash, so that another prompt is another picture.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Colour = tuple[int, int, int]

_SCENES = {
    "mountains": "mountain mountains hill hills alps peak peaks valley berg berge gebirge landscape landschaft canyon 山 山脉",
    "sea": "sea ocean beach coast lake water waves wave river island harbour harbor meer strand see küste 海 湖",
    "forest": "forest forests trees tree wood woods pine jungle wald bäume baum park 森林 树",
    "city": "city town skyline street buildings building tower towers urban neon cyberpunk stadt straße 城市",
    "desert": "desert dune dunes sand sahara wüste camel 沙漠",
    "space": "space galaxy nebula planet planets cosmos universe stars astronaut rocket weltall galaxie 宇宙 星",
    "flowers": "flower flowers garden meadow field roses rose tulips spring blume blumen wiese 花",
    "abstract": "abstract pattern geometric shapes logo texture wallpaper fractal cubism abstrakt muster 抽象",
}
_TIMES = {
    "sunset": "sunset dusk evening golden sonnenuntergang abend 日落",
    "dawn": "sunrise dawn morning sonnenaufgang morgen pastel 日出",
    "night": "night midnight moon moonlight dark nacht mond neon cyberpunk 夜",
    "day": "day noon sunny bright blue tag summer spring 白天",
    "storm": "storm stormy rain rainy thunder grey gloomy fog foggy mist misty sturm regen nebel 雨",
}
_THINGS = {
    "house": "house cabin cottage home hut barn haus hütte", "boat": "boat ship sail sailing sailboat boot schiff",
    "birds": "bird birds eagle seagull vögel vogel", "balloon": "balloon balloons ballon", "car": "car cars auto truck vehicle",
    "snow": "snow snowy winter ice schnee frost 雪", "clouds": "cloud clouds cloudy wolken", "sun": "sun sonne",
    "moon": "moon mond moonlight",
}
_COLOURS: dict[str, Colour] = {
    "red": (206, 44, 40), "rot": (206, 44, 40), "crimson": (170, 24, 44), "orange": (240, 130, 36), "yellow": (246, 206, 60),
    "gold": (226, 176, 60), "golden": (226, 176, 60), "green": (62, 150, 74), "grün": (62, 150, 74), "teal": (30, 138, 136),
    "turquoise": (54, 190, 186), "blue": (44, 104, 204), "blau": (44, 104, 204), "purple": (120, 60, 170), "violet": (136, 76, 190),
    "pink": (238, 120, 170), "rosa": (238, 120, 170), "magenta": (204, 40, 150), "brown": (120, 78, 50), "white": (244, 242, 236),
    "black": (30, 30, 36), "grey": (128, 132, 138), "gray": (128, 132, 138), "silver": (186, 192, 200),
}


@dataclass(frozen=True)
class Wish:
    """What is drawn; `colours` were named, `fine` asks for more detail, `random` belongs to the prompt and the seed."""

    scene: str
    time: str
    things: frozenset[str]
    colours: list[Colour]
    style: str
    fine: bool
    random: np.random.Generator = field(compare=False)


def words_of(prompt: str) -> list[str]:
    """The words in order; each Chinese character is also a word of its own."""
    found = re.findall(r"[^\W\d_]+", prompt.lower())
    return [part for word in found for part in ([word, *word] if any("\u4e00" <= c <= "\u9fff" for c in word) else [word])]


def read_wish(params: dict[str, Any]) -> Wish:
    """Read the parameters; `provider_style` is what a client's `style` was mapped to."""
    prompt, seed = str(params.get("prompt", "")), int(params.get("seed", 0))
    words = words_of(prompt)
    digest = hashlib.sha256(f"{seed}\0{' '.join(words)}".encode()).digest()
    style = str(params.get("provider_style", params.get("style", "natural")))
    scene = _first(_SCENES, words) or ("mountains", "sea", "abstract", "flowers", "desert", "forest")[digest[0] % 6]
    time = _first(_TIMES, words) or ("day", "sunset", "dawn", "night")[digest[1] % 4]
    things = frozenset(name for name, known in _THINGS.items() if set(words) & set(known.split()))
    colours = [_COLOURS[word] for word in words if word in _COLOURS]
    return Wish(scene, time, things, colours, style, params.get("quality") == "hd", np.random.default_rng(list(digest[:16])))


def _first(table: dict[str, str], words: list[str]) -> str | None:
    sets = {name: set(known.split()) for name, known in table.items()}
    return next((name for word in words for name, known in sets.items() if word in known), None)
