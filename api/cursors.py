"""Cursors of lists: opaque, signed, bound to the account, the list and its filters, and pinned to a position.

The pin is the account's version when the first page was read: what came later is left out of all pages, whatever the
order. Rows that stand keep changing, so every page shows them as they are.
"""

from __future__ import annotations

import msgspec

from infra.http.problems import bad_field
from infra.http.signing import Signer

FIRST_PIN = (1 << 63) - 1


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Go on after row `after`, leaving out rows above `pin`."""

    pin: int
    after: int


_decoder = msgspec.json.Decoder(Cursor)


def write_cursor(signer: Signer, scope: str, cursor: Cursor) -> str:
    """The text that `read_cursor` takes for the same scope."""
    return signer.pack(f"cursor {scope}", msgspec.json.encode(cursor))


def read_cursor(signer: Signer, scope: str, text: str) -> Cursor:
    """The cursor. Raises Problem 400 for a text that was not made for this list, with these filters."""
    content = signer.unpack(f"cursor {scope}", text)
    if content is None:
        raise bad_field("cursor", "This must be next_cursor of a page of this list, with the same filters and sort.")
    return _decoder.decode(content)
