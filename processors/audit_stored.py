"""The laws of what accounts store, checked on their events: numbers, albums, and that no live bytes are purged."""

from collections.abc import Iterator
from typing import NamedTuple

from processors.audit_spill import Shelf, sorted_items
from schemas import events as ev
from schemas.commands import StoredObject


class _Asset(NamedTuple):
    number: int
    key: str  # of its object


class StoredAudit:
    """The assets of a partition's accounts by the plain meaning of their events."""

    def __init__(self, shelf: Shelf) -> None:
        self._assets = shelf.mapping("assets", _Asset)
        self._references = shelf.mapping("references", int)
        self._albums = shelf.mapping("albums", bool)
        self._purges = shelf.mapping("purges", bool)
        self._numbers = shelf.mapping("numbers", int)
        self._erased_through = shelf.mapping("erased", int)

    def add(self, account: str, data: ev.EventData) -> Iterator[tuple[str, str]]:
        """(law, detail) of each law that the account's next event breaks."""
        match data:
            case ev.AssetRegistered(asset=asset, number=number, object=stored):
                yield from self._begin(account, asset, number, stored)
            case ev.JobSucceeded(asset=asset, number=number, result=stored):
                yield from self._begin(account, asset, number, stored)
            case ev.JobReused(asset=asset, number=number, result=stored):
                if not self._references.get(stored.key):
                    yield "what-is-reused-is-there", stored.key
                yield from self._begin(account, asset, number, stored)
            case ev.AssetDeleted(asset=asset):
                yield from self._end(account, asset)
            case ev.PurgeReleased() | ev.BytesPurged():
                yield from self._purge(account, data)
            case ev.AlbumCreated(album=album):
                self._albums[f"{account}|{album}"] = True
            case ev.AlbumDeleted(album=album):
                if self._albums.pop(f"{account}|{album}", None) is None:
                    yield "an-album-ends-once", album
            case ev.AssetsMoved(album=album, moved=moved, already=already):
                gone = [asset for asset in (*moved, *already) if f"{account}|{asset}" not in self._assets]
                if gone or f"{account}|{album}" not in self._albums:
                    yield "only-what-lives-is-moved", f"{gone} to {album}"
            case ev.AccountErased(assets_through=through):
                self._erase(account, through)
            case _:
                pass

    def _purge(self, account: str, data: ev.PurgeReleased | ev.BytesPurged) -> Iterator[tuple[str, str]]:
        place = f"{account}|{data.purge}"
        if isinstance(data, ev.BytesPurged):
            if self._purges.pop(place, None) is None:
                yield "a-purge-ends-once", data.purge
            return
        yield from (("no-live-bytes-are-purged", key) for key in data.keys if self._references.get(key))
        if (data.attempt > 1) != (place in self._purges):
            yield "a-purge-goes-on-until-it-is-done", f"attempt {data.attempt} of {data.purge}"
        self._purges[place] = True

    def _begin(self, account: str, asset: str, number: int, stored: StoredObject) -> Iterator[tuple[str, str]]:
        place, before = f"{account}|{asset}", self._numbers.get(account) or 0
        if place in self._assets:
            yield "an-asset-begins-once", asset
        if number != before + 1:
            yield "assets-are-numbered-in-turn", f"{number} follows {before}"
        self._numbers[account] = number
        self._assets[place] = _Asset(number, stored.key)
        self._references[stored.key] = self._references.get(stored.key, 0) + 1

    def _end(self, account: str, asset: str) -> Iterator[tuple[str, str]]:
        held = self._assets.pop(f"{account}|{asset}", None)
        if held is not None:
            self._let_go(held[1])
        elif not self._erased_through.get(account):
            yield "an-asset-ends-once", asset

    def _erase(self, account: str, through: int) -> None:
        """Everything up to a number is gone, though the records of some go on until their time is over."""
        self._erased_through[account] = through
        gone = []
        for place, (number, key) in sorted_items(self._assets, f"{account}|"):
            if not place.startswith(f"{account}|"):
                break
            if number <= through:
                gone.append((place, key))
        for place, key in gone:
            del self._assets[place]
            self._let_go(key)

    def _let_go(self, key: str) -> None:
        left = self._references.get(key, 0) - 1
        if left > 0:
            self._references[key] = left
        else:
            self._references.pop(key, None)
