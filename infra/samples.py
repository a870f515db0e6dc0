"""The sample pictures that come with the deployment, by the names that plans give them (`AccountTerms.sample`)."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from infra.errors import OperatorError

FOLDER = Path(__file__).resolve().parent / "local" / "assets"


class Sample(NamedTuple):
    """A picture's bytes and their sha256 in hex."""

    content: bytes
    sha256: str


@lru_cache(maxsize=8)
def sample(name: str) -> Sample:
    """The picture of this name, read once. Raises OperatorError where no such file comes with the deployment."""
    path = FOLDER / name
    try:
        content = path.read_bytes() if path.parent == FOLDER else b""
    except OSError:
        content = b""
    if not content:
        raise OperatorError(f"The plan names the sample picture {name}, which is no file in {FOLDER}.")
    return Sample(content, hashlib.sha256(content).hexdigest())
