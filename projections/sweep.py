"""The sweeper: objects that no event names, and never will, are removed from the store.

Theory of operation
-------------------
An object is written before the command that names it, so some are never named: uploads that were cut off, presigned
ones that were never completed, outputs of attempts that did not count, sealed texts of refused groups. Whatever is
older than `before_ms` and is not named by then never will be: commands that wait for their decision are younger, as
long as the read models are at the end of the log. So a sweep

1. takes the end of `commands` and waits until the read models have reached it (`caught_up`); else there is no sweep;
2. lists the store by pages, in the order of keys, and asks which keys of those accounts the read models name;
3. removes what is old and not named, page by page. Repeating any of it is harmless.

What is no `<account>/<name>` is not ours and stays. So do objects of accounts that the log does not know: in a store
that an empty or a wrong log was pointed at, everything would look like that. They are counted, and removed only when
an operator says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from infra import failpoints
from infra.s3.store import ListedObject, ObjectStore

_KEY = re.compile(r"(acct_[a-z2-7]{26})/.+")


class Names(Protocol):
    """What the read models know of objects."""

    async def of(self, accounts: Collection[str]) -> Mapping[str, Collection[str]]:
        """The keys that are in use, by account; accounts that never opened are left out."""
        ...


class Swept(msgspec.Struct, frozen=True):
    """What a sweep found: objects it looked at, orphans (removed unless it was a dry run), uploads that it forgot,
    objects of accounts that nobody knows, and objects that are no account's."""

    looked_at: int = 0
    orphans: int = 0
    orphan_bytes: int = 0
    uploads: int = 0
    of_unknown_accounts: int = 0
    strange: int = 0


async def sweep(
    store: ObjectStore,
    names: Names,
    before_ms: int,
    *,
    dry_run: bool = False,
    unknown_accounts: bool = False,
    tell: Callable[[ListedObject], None] = lambda _: None,
) -> Swept:
    """Remove what was written before `before_ms` and is not named; `tell` hears of each before it goes.

    The caller has seen that the read models are at the end of the log. Raises StoreUnavailable, and what `names` does.
    """
    counts = dict.fromkeys(Swept.__struct_fields__, 0)
    known: Mapping[str, Collection[str]] = {}
    asked: frozenset[str] = frozenset()
    async for page in store.pages():
        counts["looked_at"] += len(page)
        owned = [(match[1], found) for found in page if (match := _KEY.fullmatch(found.key)) is not None]
        counts["strange"] += len(page) - len(owned)
        old = [(account, found) for account, found in owned if found.modified_ms < before_ms]
        accounts = frozenset(account for account, _ in old)
        if not accounts <= asked:  # an account with many objects spans pages and is asked for once
            known, asked = {**_kept(known, accounts), **await names.of(accounts - asked)}, accounts
        orphans = []
        for account, found in old:
            if account not in known:
                counts["of_unknown_accounts"] += 1
            if found.key not in known.get(account, ()) and (unknown_accounts or account in known):
                orphans.append(found)
        await _remove(store, orphans, tell, dry_run=dry_run)
        counts["orphans"] += len(orphans)
        counts["orphan_bytes"] += sum(found.size for found in orphans)
    if not dry_run:
        failpoints.passed("sweep.forget.before")
        counts["uploads"] = await store.abort_uploads(before_ms)
        failpoints.passed("sweep.forget.after")
    return Swept(**counts)


def _kept(known: Mapping[str, Collection[str]], accounts: frozenset[str]) -> Mapping[str, Collection[str]]:
    return {account: keys for account, keys in known.items() if account in accounts}


async def _remove(
    store: ObjectStore, orphans: Sequence[ListedObject], tell: Callable[[ListedObject], None], *, dry_run: bool
) -> None:
    for orphan in orphans:
        tell(orphan)
    if orphans and not dry_run:
        failpoints.passed("sweep.remove.before")
        await store.delete_many([orphan.key for orphan in orphans])
        failpoints.passed("sweep.remove.after")
