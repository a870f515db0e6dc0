"""Commands decided per second of processor time in one process without Kafka, and where the time goes.

Run: python -m tests.bench.decide_profile [--profile] [--accounts N] [--commands N]

Every command is a submit under an idempotency key; each transaction's jobs succeed in the next one, so that slots free
up as they do in life. What is measured is the whole of `Batch`: unpacking, deciding, evolving, encoding all records.
"""

import argparse
import cProfile
import pstats
import time
from collections.abc import Sequence

from infra.garbage import collect_seldom
from infra.kafka.ports import Record
from processors.batch import Batch
from processors.effects import Addressing
from processors.store import Store
from schemas import commands as cmd
from schemas.codec import pack_items
from schemas.plans import AccountTerms, CostRule, ModelTerms, Plan

T0 = 1_800_000_000_000
ITEMS_A_RECORD = 100
RECORDS_A_TRANSACTION = 10
RESULT = cmd.StoredObject("acct_anna/job_1/1", 4321, "cd" * 32, "png", 128, 96)


def _plan() -> Plan:
    terms = AccountTerms(opening_credits=1_000_000, in_flight_jobs_max=1_000_000)
    model = ModelTerms(engine="echo", engine_version="1", lane="standard", cost=CostRule(1), takes_input=False)
    lanes = {"standard": 1_000_000}
    return Plan(
        version=1, products={"darkroom": {"default": terms}}, models={"echo": model}, lane_released_jobs_max=lanes
    )


def _submit(number: int, account: str) -> bytes:
    job = f"job_{number:026d}"
    key = cmd.IdempotencyKey(f"{number:064x}", f"{number:064x}")
    command = cmd.SubmitJob(job, "echo", {"scale": 2})
    reply = cmd.ReplyAddress("gw_aaaaaaaaaaaaaaaaaaaaaaaaaa", f"{number}")
    envelope = cmd.Envelope(f"cmd_{number:026d}", account, "darkroom", command, T0, reply=reply, idempotency=key)
    return cmd.encode_command(envelope)


def _outcome(number: int, account: str) -> bytes:
    command = cmd.RecordOutcome(f"job_{number:026d}", 1, cmd.Succeeded(RESULT, 5))
    return cmd.encode_command(cmd.Envelope(f"cmd_o{number:025d}", account, "darkroom", command, T0, actor="dispatcher"))


def _values(items: Sequence[bytes]) -> list[bytes]:
    return [pack_items(items[at : at + ITEMS_A_RECORD]) for at in range(0, len(items), ITEMS_A_RECORD)]


class Partition:
    """One partition's store and position; `run` decides values as one batch after the other."""

    def __init__(self) -> None:
        self.store = Store(0)
        self.progress = self.store.progress()
        self.offset = 0

    def run(self, values: Sequence[bytes]) -> float:
        """Seconds of processor time it took."""
        started = time.process_time()
        for at in range(0, len(values), RECORDS_A_TRANSACTION):
            batch = Batch(self.store, self.progress, 0, Addressing("bench", 1))
            for value in values[at : at + RECORDS_A_TRANSACTION]:
                batch.add(Record(self.offset, T0, None, value))
                self.offset += 1
            records = batch.records()
            assert records
            self.progress = batch.progress
        return time.process_time() - started


def measure(commands: int, accounts: int) -> tuple[float, float]:
    """(submits, outcomes) per second, each alone."""
    names = [f"acct_{number:026d}" for number in range(accounts)]
    partition = Partition()
    publish = cmd.Envelope("cmd_plan", "partition-0", "", cmd.PublishPlan(_plan()), T0)
    opening = [cmd.Envelope("cmd_open", name, "darkroom", cmd.OpenAccount(), T0) for name in names]
    partition.run(_values([cmd.encode_command(publish), *map(cmd.encode_command, opening)]))
    submitting = ending = 0.0
    step = ITEMS_A_RECORD * RECORDS_A_TRANSACTION
    for first in range(0, commands, step):
        numbers = range(first, min(first + step, commands))
        submits = _values([_submit(number, names[number % accounts]) for number in numbers])
        outcomes = _values([_outcome(number, names[number % accounts]) for number in numbers])
        submitting += partition.run(submits)
        ending += partition.run(outcomes)
    return commands / submitting, commands / ending


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", type=int, default=20_000)
    parser.add_argument("--accounts", type=int, default=1_000)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    collect_seldom()
    profiler = cProfile.Profile()
    if options.profile:
        profiler.enable()
    submits, outcomes = measure(options.commands, options.accounts)
    profiler.disable()
    print(f"{submits:,.0f} submits/s, {outcomes:,.0f} outcomes/s, {options.accounts:,} accounts")
    if options.profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(28)


if __name__ == "__main__":
    main()
