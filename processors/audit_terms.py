"""The laws of an account's terms, checked on its events: no window is overdrawn, a key makes one thing in its life.

The limits are those of the plan version that the reservation names, as it was published on the partition.
"""

from collections.abc import Iterable, Iterator

import msgspec
from msgspec.structs import replace

from processors.audit_spill import Shelf
from schemas import events as ev
from schemas.plans import Plan

Broken = tuple[str, str]


class TermBooks(msgspec.Struct, frozen=True, array_like=True):
    """The plan that an account is under, and what it has used of its open windows."""

    plan: str = "default"
    windows: dict[str, tuple[int, int]] = {}  # begin in ms and units used, by kind; replaced, never changed


class TermAudit:
    """The terms of a partition's accounts."""

    def __init__(self, shelf: Shelf) -> None:
        self._plans: dict[int, Plan] = {}
        self._accounts = shelf.mapping("terms", TermBooks)
        self._keys = shelf.mapping("keys", int)  # when each is forgotten

    def publish(self, plan: Plan) -> None:
        """A plan is in force in the partition."""
        self._plans[plan.version] = plan

    def add(self, event: ev.Event) -> Iterator[Broken]:
        """(law, detail) of each law that an account's next event breaks."""
        data = event.data
        match data:
            case ev.AccountOpened(plan=plan) | ev.PlanChanged(plan=plan):
                self._accounts[event.account] = replace(self._of(event.account), plan=plan)
            case ev.CreditsReserved(windows=windows):
                yield from self._take(event, data, windows)
            case ev.CreditsReleased(windows=windows) | ev.CreditsRefunded(windows=windows):
                yield from self._give_back(event, windows)
            case ev.IdempotencyForgotten(keys=keys):
                yield from self._forget(event, keys)
            case _:
                pass
        use = getattr(data, "idempotency", None)
        if isinstance(use, ev.IdempotencyUse):
            yield from self._use(event, use)

    def _take(self, event: ev.Event, data: ev.CreditsReserved, windows: Iterable[ev.WindowUse]) -> Iterator[Broken]:
        books = self._of(event.account)
        plan = self._plans.get(data.plan_version)
        if plan is None and self._plans:
            yield "a-price-is-of-a-published-plan", f"version {data.plan_version} for {data.job}"
        terms = None if plan is None else plan.terms(event.product, books.plan)
        limits = {window.kind: window.limit for window in terms.windows} if terms is not None else {}
        for use in windows:
            start_ms, used = books.windows.get(use.kind, (use.start_ms, 0))
            used = (used if start_ms == use.start_ms else 0) + use.units
            books = replace(books, windows={**books.windows, use.kind: (use.start_ms, used)})
            limit = limits.get(use.kind)
            if limit is not None and used > limit:
                yield "windows-within-their-limit", f"{used} of {limit} a {use.kind}"
        self._accounts[event.account] = books

    def _give_back(self, event: ev.Event, windows: Iterable[ev.WindowUse]) -> Iterator[Broken]:
        books = self._of(event.account)
        for use in windows:
            start_ms, used = books.windows.get(use.kind, (0, 0))
            if start_ms == use.start_ms:
                books = replace(books, windows={**books.windows, use.kind: (start_ms, used - use.units)})
                if used < use.units:
                    yield "windows-get-back-what-was-taken", f"{use.units} of {used} a {use.kind}"
        self._accounts[event.account] = books

    def _of(self, account: str) -> TermBooks:
        return self._accounts.get(account) or TermBooks()

    def _use(self, event: ev.Event, use: ev.IdempotencyUse) -> Iterator[Broken]:
        place = f"{event.account}|{use.key}"
        if self._keys.get(place, 0) > event.time_ms:
            yield "a-key-makes-one-thing", use.key
        self._keys[place] = use.expires_ms

    def _forget(self, event: ev.Event, keys: Iterable[str]) -> Iterator[Broken]:
        for key in keys:
            expires_ms = self._keys.pop(f"{event.account}|{key}", None)
            if expires_ms is None or expires_ms > event.time_ms:
                yield "a-key-lives-its-time", f"{key} until {expires_ms}"
