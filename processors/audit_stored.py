"""The laws of what an account stores, checked on its events: numbers, albums, and that no live bytes are purged."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from schemas import events as ev
from schemas.commands import StoredObject


@dataclass(slots=True)
class StoredBooks:
    """An account's assets by the plain meaning of its events."""

    number: int = 0
    objects: dict[str, tuple[int, str]] = field(default_factory=dict)  # number and key of each live asset
    references: Counter[str] = field(default_factory=Counter)
    albums: set[str] = field(default_factory=set)
    purges: set[str] = field(default_factory=set)
    erased_through: int = 0

    def add(self, data: ev.EventData) -> Iterator[tuple[str, str]]:
        """(law, detail) of each law that the next event breaks."""
        match data:
            case ev.AssetRegistered(asset=asset, number=number, object=stored):
                yield from self._begin(asset, number, stored)
            case ev.JobSucceeded(asset=asset, number=number, result=stored):
                yield from self._begin(asset, number, stored)
            case ev.JobReused(asset=asset, number=number, result=stored):
                if not self.references[stored.key]:
                    yield "what-is-reused-is-there", stored.key
                yield from self._begin(asset, number, stored)
            case ev.AssetDeleted(asset=asset):
                yield from self._end(asset)
            case ev.PurgeReleased(purge=purge, keys=keys, attempt=attempt):
                yield from (("no-live-bytes-are-purged", key) for key in keys if self.references[key])
                if (attempt > 1) != (purge in self.purges):
                    yield "a-purge-goes-on-until-it-is-done", f"attempt {attempt} of {purge}"
                self.purges.add(purge)
            case ev.BytesPurged(purge=purge):
                if purge not in self.purges:
                    yield "a-purge-ends-once", purge
                self.purges.discard(purge)
            case ev.AlbumCreated(album=album):
                self.albums.add(album)
            case ev.AlbumDeleted(album=album):
                if album not in self.albums:
                    yield "an-album-ends-once", album
                self.albums.discard(album)
            case ev.AssetsMoved(album=album, moved=moved, already=already):
                gone = [asset for asset in (*moved, *already) if asset not in self.objects]
                if gone or album not in self.albums:
                    yield "only-what-lives-is-moved", f"{gone} to {album}"
            case ev.AccountErased(assets_through=through):
                self._erase(through)
            case _:
                pass

    def _begin(self, asset: str, number: int, stored: StoredObject) -> Iterator[tuple[str, str]]:
        if asset in self.objects:
            yield "an-asset-begins-once", asset
        if number != self.number + 1:
            yield "assets-are-numbered-in-turn", f"{number} follows {self.number}"
        self.number = number
        self.objects[asset] = number, stored.key
        self.references[stored.key] += 1

    def _end(self, asset: str) -> Iterator[tuple[str, str]]:
        number, key = self.objects.pop(asset, (0, ""))
        if key:
            self._let_go(key)
        elif number > self.erased_through or not self.erased_through:
            yield "an-asset-ends-once", asset

    def _erase(self, through: int) -> None:
        """Everything up to a number is gone, though the records of some go on until their time is over."""
        self.erased_through = through
        for asset, (number, key) in list(self.objects.items()):
            if number <= through:
                del self.objects[asset]
                self._let_go(key)

    def _let_go(self, key: str) -> None:
        self.references[key] -= 1
        if not self.references[key]:
            del self.references[key]
