"""The laws of the core model over a partition's state and its events (design section 4), for every kind of test."""

from collections import Counter
from collections.abc import Iterable, Mapping

from processors.accounts.ledger import BALANCE_MAX
from processors.accounts.state import Account, Partition, Queued, Reservation, RingEntry, split_key
from processors.assets.state import Album, Asset, Shared
from processors.jobs.state import Attempted, Ending, Job, Waiting
from processors.overlay import Record
from processors.store import Store, decode_record
from schemas import events as ev
from schemas.codec import encode_state

State = Mapping[str, Record]
TERMINAL = (ev.JobSucceeded, ev.JobFailed, ev.JobCanceled, ev.JobExpired)
RESERVED_KINDS = ("position", "suspect")


def state_of(store: Store) -> dict[str, Record]:
    """Every record of the fold, without the reserved ones."""
    return decoded(store.values())


def state_bytes(state: State) -> dict[str, bytes]:
    """The records as bytes, so that equal states are equal byte for byte."""
    return {key: encode_state(record, 0) for key, record in state.items()}


def decoded(values: Mapping[str, bytes]) -> dict[str, Record]:
    """Records of the topic `accounts`, without the reserved ones."""
    return {key: decode_record(key, value) for key, value in values.items() if split_key(key)[1] not in RESERVED_KINDS}


def check_state(state: State) -> None:
    """Every law that can be seen in one state."""
    by_account: dict[str, dict[str, dict[str, Record]]] = {}
    for key, record in state.items():
        stream, kind, name = split_key(key)
        by_account.setdefault(stream, {}).setdefault(kind, {})[name] = record
    for account, kinds in by_account.items():
        if "account" in kinds:
            _check_account(account, kinds)
        else:
            assert set(kinds) <= {"partition", "plan", "ring"}, f"{account} has records but no header"
    for stream, kinds in by_account.items():
        if "partition" in kinds:
            _check_partition(stream, kinds, by_account)


def _check_account(account: str, kinds: Mapping[str, Mapping[str, Record]]) -> None:
    header = kinds["account"][""]
    assert isinstance(header, Account)
    check_header(header)
    jobs = {name: job for name, job in kinds.get("job", {}).items() if isinstance(job, Job)}
    reservations = {name: r for name, r in kinds.get("reservation", {}).items() if isinstance(r, Reservation)}
    unended = {name for name, job in jobs.items() if not isinstance(job.phase, Ending)}
    assert set(reservations) == unended, f"{account}: reservations {set(reservations)} for jobs {unended}"
    assert header.reserved == sum(r.units for r in reservations.values())
    queued = {name: q.job for name, q in kinds.get("queued", {}).items() if isinstance(q, Queued)}
    for use in header.lanes:
        mine = {name: job for name, job in jobs.items() if job.lane == use.lane}
        waiting = {f"{use.lane}.{j.phase.number}": name for name, j in mine.items() if isinstance(j.phase, Waiting)}
        assert waiting == {place: job for place, job in queued.items() if place.rpartition(".")[0] == use.lane}
        assert use.queued == len(waiting)
        assert use.running == sum(isinstance(job.phase, Attempted) for job in mine.values())
        assert use.running <= use.limit, f"{account} runs {use.running} of {use.limit}"
        numbers = sorted(int(place.rpartition(".")[2]) for place in waiting)
        assert all(use.head <= number < use.tail for number in numbers)
        assert not numbers or numbers[0] == use.head, "the head of a queue is always taken"
        assert (use.ring >= 0) == (use.queued > 0 and use.running < use.limit)

    _check_assets(account, header, kinds)


def _check_assets(account: str, header: Account, kinds: Mapping[str, Mapping[str, Record]]) -> None:
    assert header.albums == sum(isinstance(album, Album) for album in kinds.get("album", {}).values())
    assets = {name: a for name, a in kinds.get("asset", {}).items() if isinstance(a, Asset)}
    numbers = [asset.number for asset in assets.values()]
    assert len(set(numbers)) == len(numbers), f"{account} has two assets of one number"
    assert max(numbers, default=0) <= header.assets
    references = Counter(asset.object.key for asset in assets.values())
    for key, shared in kinds.get("shared", {}).items():
        assert isinstance(shared, Shared)
        assert shared.references == references[key] > 0, f"{key} has {references[key]} references"
    assert all(n == 1 or key in kinds.get("shared", {}) for key, n in references.items())


def check_header(header: Account) -> None:
    """Conservation and bounds of one account's money."""
    assert (
        header.granted + header.regenerated + header.refunded
        == header.captured + header.reserved + header.available + header.expired
    )
    for units in (header.regenerated, header.refunded, header.captured, header.reserved, header.expired):
        assert 0 <= units <= BALANCE_MAX
    assert 0 <= header.available <= BALANCE_MAX
    assert all(lot.units >= 0 for lot in header.lots)
    assert sum(lot.units for lot in header.lots) <= header.available, "what is in lots can be spent"
    assert all(use.units >= 0 for use in header.windows)
    assert len({use.kind for use in header.windows}) == len(header.windows)


def _check_partition(
    stream: str, kinds: Mapping[str, Mapping[str, Record]], by_account: Mapping[str, Mapping[str, Mapping[str, Record]]]
) -> None:
    partition = kinds["partition"][""]
    assert isinstance(partition, Partition)
    ring = {name: entry for name, entry in kinds.get("ring", {}).items() if isinstance(entry, RingEntry)}
    uses = {
        (account, use.lane): use
        for account, records in by_account.items()
        if isinstance(header := records.get("account", {}).get(""), Account)
        for use in header.lanes
    }
    for share in partition.lanes:
        places = {name: entry.account for name, entry in ring.items() if name.rpartition(".")[0] == share.lane}
        expected = {f"{lane}.{u.ring}": a for (a, lane), u in uses.items() if lane == share.lane and u.ring >= 0}
        assert places == expected, "the round holds each account that qualifies exactly once"
        assert share.waiting == len(places)
        assert share.released == sum(u.running for (_, lane), u in uses.items() if lane == share.lane)
        numbers = sorted(int(name.rpartition(".")[2]) for name in places)
        assert not numbers or numbers[0] == share.head, "the head of the round is always taken"


def check_log(events: Iterable[ev.Event], *, quiet: bool = False) -> None:
    """Every law that can be seen in the events of one partition; `quiet`: nothing is under way any more."""
    versions: Counter[str] = Counter()
    reserved: dict[tuple[str, str], int] = {}
    captured: Counter[tuple[str, str]] = Counter()
    ended: Counter[tuple[str, str]] = Counter()
    accepted: set[tuple[str, str]] = set()
    balances: Counter[str] = Counter()
    last: tuple[int, ...] = (-1,)
    for event in events:
        at = tuple(int(part) for part in event.position.split("."))
        assert at > last, f"{at} stands after {last}"
        last = at
        versions[event.account] += 1
        assert event.version == versions[event.account], f"{event.account} has version {event.version} out of turn"
        data, account = event.data, event.account
        match data:
            case ev.CreditsExpired():
                balances[account] -= data.units
            case ev.CreditsRefunded():
                assert captured[account, data.job] == 1, f"{data.job} was refunded, not charged"
                captured[account, data.job] += 1
                balances[account] += data.units
            case ev.JobReused():
                assert (account, data.job) not in accepted, f"{data.job} was accepted twice"
                assert (account, data.of) in ended
                accepted.add((account, data.job))
                ended[account, data.job] += 1
            case ev.CreditsGranted() | ev.CreditsRegenerated():
                balances[account] += data.amount
            case ev.JobAccepted():
                assert (account, data.job) not in accepted, f"{data.job} was accepted twice"
                accepted.add((account, data.job))
            case ev.CreditsReserved():
                assert (account, data.job) not in reserved
                reserved[account, data.job] = data.units
                balances[account] -= data.units
            case ev.CreditsCaptured():
                assert reserved.pop((account, data.job)) == data.units, "a charge is what was reserved"
                captured[account, data.job] += 1
                assert captured[account, data.job] == 1, f"{data.job} was charged twice"
            case ev.CreditsReleased():
                assert reserved.pop((account, data.job)) == data.units
                balances[account] += data.units
            case ev.JobHidden():
                lives = (account, data.job) in accepted and not ended[account, data.job]
                assert not lives, f"{data.job} is hidden and lives"
            case _ if isinstance(data, TERMINAL):
                assert (account, data.job) in accepted
                ended[account, data.job] += 1
                assert ended[account, data.job] == 1, f"{data.job} ended twice"
            case _:
                pass
        assert balances[account] >= 0, f"{account} fell below zero at {event.position}"
        # these announce the balance that the events after them lead to
        announces = isinstance(data, ev.JobAccepted | ev.JobCanceled | ev.GroupAccepted)
        if isinstance(balance := getattr(data, "balance", None), int) and not announces:
            assert balance == balances[account], f"{event.position} shows {balance}, the sum is {balances[account]}"
    if quiet:
        assert not reserved, f"reservations without an end: {sorted(reserved)}"
        assert set(ended) == accepted, f"jobs without an end: {sorted(accepted - set(ended))}"
