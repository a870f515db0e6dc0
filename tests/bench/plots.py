"""Plots as SVG, all in one style."""

from __future__ import annotations

import sys
from typing import Any

import pygal

# Its hook for plugins is of a kind that Python warns of at every import from then on; no plugin of it is used.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != "pygal"]


def chart(kind: str, title: str, x: str, y: str) -> Any:
    """An empty chart of a `kind` of pygal's, such as ``XY``: `add` lines to it, then `render_to_file`."""
    style = pygal.style.CleanStyle(background="white", plot_background="white", font_family="sans-serif")
    made = getattr(pygal, kind)(style=style, width=720, height=360, js=(), legend_at_bottom=True, truncate_legend=-1)
    made.title, made.x_title, made.y_title = title, x, y
    return made
