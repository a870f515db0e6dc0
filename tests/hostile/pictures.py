"""At least 300 hostile pictures, made from a seed when tests ask for them: equal runs send equal bytes.

`hostile_pictures` gives them all. What is refused for certain and what is taken for certain says so; of the rest either
is right, as long as nothing dies, nothing hangs and nothing that is refused costs anything.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, NamedTuple

Fate = Literal["taken", "refused", "either"]


class HostilePicture(NamedTuple):
    """A file as a client sends it: its bytes, and what it claims to be."""

    name: str
    content: bytes
    fate: Fate = "either"
    file_name: str = "picture.jpg"
    content_type: str = "image/jpeg"

    @property
    def kind(self) -> str:
        """What is hostile about it: the first part of its name."""
        return self.name.partition("/")[0]


Maker = Callable[[], Iterator[HostilePicture]]


@functools.cache
def hostile_pictures() -> tuple[HostilePicture, ...]:
    """All of them, each under a name of its own."""
    return tuple(picture for make in _makers().values() for picture in make())


def _makers() -> Mapping[str, Maker]:
    from tests.hostile import picture_bombs, picture_damage, picture_disguises, picture_marks

    return {
        **picture_damage.MAKERS,
        **picture_bombs.MAKERS,
        **picture_marks.MAKERS,
        **picture_disguises.MAKERS,
    }
