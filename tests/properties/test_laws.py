"""The laws of the core model (design section 4) over random scripts of commands."""

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from infra.kafka.ports import Record
from processors import batch as batch_module
from processors.accounts.state import position_key
from processors.audit import PartitionAudit
from processors.batch import Batch
from processors.evolve import evolve
from processors.jobs.state import Backoff, Job, Waiting, job_key
from processors.overlay import Changes
from processors.overlay import Record as StateRecord
from processors.rebuild import Fold, differences
from processors.store import Store
from schemas import events as ev
from schemas import topics
from schemas.codec import pack_items
from schemas.commands import Envelope, PublishPlan, RecordOutcome, encode_command
from tests.laws import check_log, state_bytes
from tests.properties.scripts import (
    ACCOUNTS,
    ADDRESSING,
    DAY,
    KINDS,
    PAUSES,
    SECOND,
    T0,
    Player,
    Step,
    plan_of,
    scripts,
)

PUBLISH = Envelope("cmd_plan", "partition-0", "p", PublishPlan(plan_of(1)), 0)


def folded(events: Sequence[ev.Event], state: dict[str, StateRecord] | None = None) -> dict[str, StateRecord]:
    """The fold of events over a state that starts empty."""
    state = dict(state or {})
    for event in events:
        changes: Changes = evolve(state.get, event)
        for key, record in changes.items():
            if record is None:
                state.pop(key, None)
            else:
                state[key] = record
    return state


@given(scripts)
def test_the_laws_hold_after_every_command(script: list[Step]) -> None:
    player = Player().play(script)
    audit = PartitionAudit(0)
    for event in player.events:
        audit.add(event)
    audit.finish()
    assert [str(violation) for violation in audit.violations] == []


@given(scripts)
def test_once_quiet_every_job_has_ended_exactly_once(script: list[Step]) -> None:
    player = Player().play(script).quiet()
    state = player.state()
    assert not [key for key in state if key.split("|")[1] in ("job", "reservation", "queued", "ring")]
    audit = PartitionAudit(0)
    for event in player.events:
        audit.add(event)
    audit.finish(quiet=True)
    assert [str(violation) for violation in audit.violations] == []


@given(scripts)
def test_the_state_is_the_fold_of_the_events_and_of_nothing_else(script: list[Step]) -> None:
    player = Player().play(script)
    once = state_bytes(folded(player.events))
    assert once == state_bytes(folded(player.events))
    assert once == state_bytes(player.state())
    fold = Fold(0)
    for event in player.events:
        fold.add(event)
    assert list(differences(fold.values(), player.store)) == []
    assert fold.progress.next()[0] == player.offset


@given(scripts, st.integers(0, 1_000))
def test_a_fold_split_anywhere_equals_the_whole(script: list[Step], where: int) -> None:
    events = Player().play(script).events
    cut = where % (len(events) + 1)
    assert state_bytes(folded(events[cut:], folded(events[:cut]))) == state_bytes(folded(events))


@given(scripts)
def test_what_stands_on_the_topic_is_the_state(script: list[Step]) -> None:
    """A new owner that loads the records of `accounts` in order has the state, the timers and the position."""
    player = Player().play(script)
    store = Store(0)
    written = [record for record in player.outgoing if record.topic == topics.ACCOUNTS]
    store.load(Record(offset, 0, record.key, record.value) for offset, record in enumerate(written))
    store.loaded()
    assert store.values() == player.store.values()
    assert store.next_due_ms() == player.store.next_due_ms()
    far = player.now_ms + 400 * 86_400 * SECOND
    assert store.due(far, 10_000) == player.store.due(far, 10_000)
    assert store.progress().next()[0] == player.offset
    assert position_key("partition-0") in store.values()


@given(scripts, st.integers(1, 7))
def test_where_transactions_end_changes_nothing(script: list[Step], commands_a_transaction: int) -> None:
    """Also in the middle of a record: the same events and the same state, byte for byte."""
    values = _values_of(script)
    assert _applied(values, commands_a_transaction) == _applied(values, 1_000)


def _values_of(script: Sequence[Step]) -> list[bytes]:
    """The commands of a script, in records of five."""
    player = Player()
    items = []
    for step in script:
        command = player.command(step)
        items.append(command if isinstance(command, bytes) else encode_command(command))
        player.decide([command])
    return [pack_items(items[at : at + 5]) for at in range(0, len(items), 5)]


def _applied(values: Sequence[bytes], commands_a_transaction: int) -> tuple[list[bytes | None], dict[str, bytes]]:
    """(events, state) after transactions of at most so many commands."""
    store, events = Store(0), []
    progress = store.progress()
    with patch.object(batch_module, "COMMANDS_A_TRANSACTION_MAX", commands_a_transaction):
        for offset, value in enumerate([pack_items([encode_command(PUBLISH)]), *values]):
            while progress.next()[0] == offset:
                if progress.stopped:  # an operator lets it go on
                    progress = replace(progress, stopped=False, troubles=())
                batch = Batch(store, progress, 0, ADDRESSING)
                batch.add(Record(offset, T0 + 20_000 * offset, None, value))
                events += [record.value for record in batch.records() if record.topic == topics.EVENTS]
                progress = batch.progress
    return events, dict(store.values())


DIGEST = """
import sys
from tests.properties.test_laws import digest_of_seed
print(digest_of_seed(int(sys.argv[1])))
"""


def digest_of_seed(seed: int) -> str:
    """The hash of everything that a long random script leads to, and a day on which the keys of all accounts end."""
    player = Player()
    player.check_each = False
    player.play([*random_script(random.Random(seed), 400), Step("tick", 0, 0, 8 * DAY)])
    digest = hashlib.sha256()
    for record in player.outgoing:
        digest.update(repr((record.topic, record.key, record.value, record.headers, record.timestamp_ms)).encode())
    return digest.hexdigest()


def random_script(source: random.Random, length: int) -> list[Step]:
    """A script by a seed, longer than Hypothesis makes them."""
    return [
        Step(source.choice(KINDS), source.randrange(len(ACCOUNTS)), source.randrange(12), source.choice(PAUSES[:-2]))
        for _ in range(length)
    ]


@pytest.mark.parametrize("seed", [1, 2])
def test_deciding_twice_gives_the_same_bytes_in_another_process_too(seed: int) -> None:
    here = digest_of_seed(seed)
    assert here == digest_of_seed(seed)
    for hash_seed in ("0", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", DIGEST, str(seed)]
        there = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
        assert there.stdout.strip() == here


_OUTCOMES = st.builds(
    Step,
    st.sampled_from(("resubmit", "started", "cancel", "succeed", "stumble")),
    st.just(0),
    st.integers(0, 3),
    st.just(1),
)


@given(st.lists(_OUTCOMES, min_size=5, max_size=40))
def test_an_outcome_of_the_attempt_that_holds_a_slot_gives_it_back_at_once(script: list[Step]) -> None:
    """Also after a cancel; its lease would give the slot back as well, but seconds later."""
    player = Player()
    player.check_each = False
    for step in script:
        player.now_ms += step.pause_ms
        command = player.command(step)
        player.decide([command])
        if isinstance(command, Envelope) and isinstance(command.command, RecordOutcome):
            job = player.store.read(job_key(command.account, command.command.job))
            assert not (
                isinstance(job, Job)
                and job.attempt == command.command.attempt
                and not isinstance(job.phase, Waiting | Backoff)
            )


@settings(max_examples=15)
@given(st.integers(0, 2**32))
def test_lost_work_items_and_outcomes_leak_no_slot_and_no_reservation(seed: int) -> None:
    """A dispatcher works on what it gets; one percent of its items and of its outcomes never arrive."""
    source = random.Random(seed)
    player = Player()
    player.check_each = False
    handled = 0
    for number in range(300):
        player.now_ms += source.choice((0, 10, SECOND))
        account = source.randrange(len(ACCOUNTS))
        player.decide([player.command(Step("grant", account, 11, 0))])
        player.decide([player.command(Step("resubmit", account, number, 0))])
        while handled < len(player.work):
            handled += 1
            if source.random() < 0.01:
                continue
            behind = len(player.work) - handled
            player.decide([player.command(Step("started", 0, behind, 0))])
            if source.random() < 0.01:
                continue
            player.decide([player.command(Step(source.choice(("succeed", "succeed", "stumble")), 0, behind, 0))])
        if number % 10 == 0:
            player.decide([player.command(Step("tick", 0, 0, 0))])
    check_log(player.quiet().events, quiet=True)
    assert not [key for key in player.state() if key.split("|")[1] in ("job", "reservation", "queued", "ring")]
    partition = player.state()["partition-0|partition|"]
    assert all((share.released, share.waiting) == (0, 0) for share in getattr(partition, "lanes", ()))
