"""Every command leaves a trace: also one that cannot be read, and one that cannot be decided."""

import pytest

from infra.kafka.ports import Outgoing, Record
from processors.accounts.state import Suspect, suspect_key
from processors.batch import TAKEOVERS_MAX, TROUBLES_MAX, Batch
from processors.effects import Addressing
from processors.store import Store
from schemas import commands as cmd
from schemas import events as ev
from schemas import topics
from schemas.codec import pack_items
from schemas.commands import encode_command
from schemas.replies import Broken, Reply, decode_replies
from tests.specification.given import ANNA, STREAM, T0, plan

PUBLISH = encode_command(cmd.Envelope("cmd_0", STREAM, "", cmd.PublishPlan(plan()), 1))
OPEN = encode_command(cmd.Envelope("cmd_1", ANNA, "darkroom", cmd.OpenAccount(), 1))
ADDRESSED = b'{"account":"acct_anna","reply":["gw_1","r"],"command":{"type":"unheard-of"}}'
NEWER = encode_command(cmd.Envelope("cmd_2", ANNA, "darkroom", cmd.OpenAccount(), 1, schema=2))


def batch_of(value: bytes, store: Store | None = None, partitions: int = 1) -> tuple[Batch, list[Outgoing]]:
    """A batch of one record at offset 0, and its records."""
    store = store or Store(0)
    batch = Batch(store, store.progress(), 0, Addressing("test", partitions))
    batch.add(Record(0, T0, None, value))
    return batch, batch.records()


def events_of(records: list[Outgoing]) -> list[ev.Event]:
    return [ev.decode_event(record.value or b"") for record in records if record.topic == topics.EVENTS]


def letters_of(records: list[Outgoing]) -> list[tuple[bytes | None, bytes | None, bytes]]:
    return [(r.key, r.value, dict(r.headers)["reason"]) for r in records if r.topic == topics.DEAD_LETTERS]


def replies_of(records: list[Outgoing]) -> list[Reply]:
    return [reply for r in records if r.topic == topics.REPLIES for reply in decode_replies(r.value or b"")]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (b"", "not-an-envelope"),
        (b"{", "not-an-envelope"),
        (b"[1]", "not-an-envelope"),
        (b"\xff\xfe", "not-an-envelope"),
        (b"[" * 100_000, "not-an-envelope"),
        (ADDRESSED, "not-an-envelope"),
        (NEWER, "newer-schema"),
        (encode_command(cmd.Envelope("cmd_3", "partition-1", "", cmd.Tick(), 1)), "wrong-partition"),
    ],
)
def test_an_unreadable_item_in_the_middle_leaves_its_neighbours_alone(item: bytes, reason: str) -> None:
    batch, records = batch_of(pack_items([PUBLISH, item, OPEN]))
    events = events_of(records)
    assert [(event.position, ev.event_type(event.data)) for event in events] == [
        ("0.0.0.0", "plan-published"),
        ("0.0.1.0", "command-unreadable"),
        ("0.0.2.0", "account-opened"),
        ("0.0.2.1", "credits-granted"),
    ]
    assert [event.last for event in events] == [True, True, False, True]
    assert events[1].data == ev.CommandUnreadable(reason, len(item))
    assert letters_of(records) == [(b"0.0.1", item, reason.encode())]
    assert batch.progress.troubles == (2,)


def test_a_command_for_another_partitions_account_is_unreadable_here() -> None:
    strangers = [f"acct_{number}" for number in range(20)]
    items = [encode_command(cmd.Envelope("c", account, "darkroom", cmd.OpenAccount(), 1)) for account in strangers]
    reasons = set()
    for item in items:
        _, records = batch_of(pack_items([PUBLISH, item]), partitions=2)
        data = events_of(records)[1].data
        reasons.add(data.reason if isinstance(data, ev.CommandUnreadable) else "decided")
    assert reasons == {"wrong-partition", "decided"}


def test_the_client_of_an_unreadable_item_is_told() -> None:
    _, records = batch_of(pack_items([ADDRESSED]))
    assert replies_of(records) == [Reply("r", ANNA, "0.0.0.0", Broken("command-unreadable"))]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "empty-record"),
        (b"\x01", "empty-record"),
        (b"\x09abc", "unknown-format"),
        (b"\x01\x00\x00", "broken-length"),
        (b"\x01\x00\x00\x00\x05ab", "broken-length"),
    ],
)
def test_a_record_without_items_still_leaves_a_trace(value: bytes, reason: str) -> None:
    batch, records = batch_of(value)
    (event,) = events_of(records)
    assert isinstance(event.data, ev.CommandUnreadable)
    assert event.data.reason == reason
    assert batch.progress.next() == (1, 0)


@pytest.mark.parametrize(("takeovers", "quarantined"), [(TAKEOVERS_MAX - 1, False), (TAKEOVERS_MAX, True)])
def test_a_command_that_failed_in_three_takeovers_is_put_aside(takeovers: int, quarantined: bool) -> None:
    store = Store(0)
    store.change({suspect_key(STREAM): Suspect(0, 1, takeovers)})
    store.take_writes()
    poison = encode_command(
        cmd.Envelope("cmd_1", ANNA, "darkroom", cmd.OpenAccount(), 1, reply=cmd.ReplyAddress("gw_1", "r"))
    )
    _, records = batch_of(pack_items([PUBLISH, poison]), store)
    types = [ev.event_type(event.data) for event in events_of(records)]
    tombstones = [r.key for r in records if r.topic == topics.ACCOUNTS and r.value is None]
    assert tombstones == [suspect_key(STREAM).encode()]
    if not quarantined:
        assert types == ["plan-published", "account-opened", "credits-granted"]
        return
    assert types == ["plan-published", "command-quarantined"]
    assert events_of(records)[1].data == ev.CommandQuarantined("open-account", ANNA, 3)
    assert letters_of(records) == [(b"0.0.1", poison, b"decision-failed")]
    assert replies_of(records) == [Reply("r", ANNA, "0.0.1.0", Broken("command-quarantined"))]


def test_more_than_five_troubles_among_a_thousand_commands_stop_the_partition() -> None:
    batch, _ = batch_of(pack_items([b"?"] * (TROUBLES_MAX + 3)))
    assert batch.progress.stopped
    assert batch.progress.commands == TROUBLES_MAX + 1
    assert batch.progress.next() == (0, TROUBLES_MAX + 1)


def test_troubles_further_apart_do_not_add_up() -> None:
    store = Store(0)
    batch = Batch(store, store.progress(), 0, Addressing("test", 1))
    tick = encode_command(cmd.Envelope("cmd_t", STREAM, "", cmd.Tick(), 1))
    for offset in range(10):
        batch = Batch(store, batch.progress, 0, Addressing("test", 1))
        batch.add(Record(offset, T0, None, pack_items([b"?", *[tick] * 200])))
        batch.records()
        assert not batch.progress.stopped
    assert batch.progress.commands == 2010
