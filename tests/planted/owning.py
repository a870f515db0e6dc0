"""Bugs in owning a partition: fencing, taking over, positions, transactions, what leaves the process."""

# ruff: noqa: E501 - places are quoted as they stand

from tests.planted.bug import Bug

OWNING = (
    Bug(
        "offset plus one",
        "no command is passed over",
        "processors/loop.py",
        "                if batch.progress.next()[0] > queue[0].offset:\n                    queue.popleft()\n",
        "                if batch.progress.next()[0] > queue[0].offset:\n                    queue.popleft()\n"
        "                    if queue:\n                        queue.popleft()\n",
    ),
    Bug(
        "the position stands outside of the transaction",
        "a command is applied by one committed transaction",
        "processors/batch.py",
        "        self._store.change({position_key(self._store.stream): self.progress})\n",
        "        before = self._store.progress()\n"
        "        self._store.change({position_key(self._store.stream): before if before.offset >= 0 else self.progress})\n",
    ),
    Bug(
        "read first, fence after",
        "the state is read after the predecessor has ended",
        "processors/loop.py",
        "        await self._ports.transactions.initialise()\n"
        '        failpoints.passed("processor.fence.after")\n'
        "        self._store = await load_store(self._ports.reader, self.partition)\n",
        "        self._store = await load_store(self._ports.reader, self.partition)\n"
        "        await self._ports.transactions.initialise()\n",
    ),
    Bug(
        "an owner that does not fence",
        "a zombie commits nothing",
        "infra/kafka/alternating.py",
        "            *(producer.initialise() for producer in self._producers), return_exceptions=True\n",
        "            *(producer.initialise() for producer in self._producers[:1]), return_exceptions=True\n",
        ("simulation", "kafka"),
    ),
    Bug(
        "state that was not committed is read",
        "aborted records are seen by nobody",
        "processors/takeover.py",
        "    end = await reader.end_offset(topics.ACCOUNTS, partition)\n"
        "    if begin < end:\n"
        "        async for records in reader.read(topics.ACCOUNTS, partition, begin, end):\n",
        "    end = await reader.end_offset(topics.ACCOUNTS, partition, committed=False)\n"
        "    if begin < end:\n"
        "        async for records in reader.read(topics.ACCOUNTS, partition, begin, end, committed=False):\n",
    ),
    Bug(
        "state and events are not compared",
        "a state that was read short decides nothing",
        "processors/takeover.py",
        "    if at.source != (progress.offset, progress.index):\n",
        "    if False:\n",
    ),
    Bug(
        "the owner goes on after an unknown outcome",
        "what is unknown is read from the log",
        "processors/loop.py",
        "        await self._ports.transactions.commit(records)\n        self._progress = batch.progress\n",
        "        try:\n            await self._ports.transactions.commit(records)\n"
        "        except Exception:\n            await self._ports.transactions.initialise()\n"
        "        self._progress = batch.progress\n",
    ),
    Bug(
        "an unknown outcome is tried again",
        "a transaction is sent once",
        "processors/loop.py",
        "        started = time.perf_counter()\n        await self._ports.transactions.commit(records)\n",
        "        started = time.perf_counter()\n        try:\n            await self._ports.transactions.commit(records)\n"
        "        except Exception:\n            await self._ports.transactions.initialise()\n"
        "            await self._ports.transactions.commit(records)\n",
    ),
    Bug(
        "a gap is passed over",
        "no command is lost to a lost seek",
        "processors/loop.py",
        "                await self._fill_gap(self._buffer[0].offset)\n",
        "                self._progress = replace(self._progress, offset=self._buffer[0].offset - 1, index=0, count=1)\n",
    ),
    Bug(
        "an owner waits until it is told",
        "a Fetch that gets no answer stops no partition",
        "processors/loop.py",
        "            if _now_s() - self._heard_s >= LOOK_AFTER_S:\n",
        "            if _now_s() - self._heard_s >= 1_000_000:\n",
        ("properties",),
    ),
    Bug(
        "a record is begun at its first command",
        "a record that a transaction cut goes on where it was cut",
        "processors/batch.py",
        "        for index in range(start, len(items)):\n",
        "        for index in range(0, len(items)):\n",
    ),
    Bug(
        "what is cut off is forgotten",
        "every command of a record is decided",
        "processors/batch.py",
        "            count=count,\n            time_ms=time_ms,\n",
        "            count=place[2] + 1,\n            time_ms=time_ms,\n",
    ),
    Bug(
        "a record that is unreadable is dropped",
        "each command leaves an event",
        "processors/batch.py",
        "        except CommandUnreadable as error:\n            draft = self._put_aside(item, place, time_ms, str(error))\n",
        "        except CommandUnreadable as error:\n            if not suspected:\n"
        "                self._advance(place, count, time_ms, trouble)\n                return\n"
        "            draft = self._put_aside(item, place, time_ms, str(error))\n",
    ),
    Bug(
        "a command that raises takes its partition down for good",
        "poison is put aside after three takeovers",
        "processors/batch.py",
        "            if takeovers >= TAKEOVERS_MAX:\n",
        "            if takeovers >= TAKEOVERS_MAX << 20:\n",
    ),
    Bug(
        "time goes backwards",
        "decisions are in one order of time",
        "processors/batch.py",
        "        time_ms = max(self.progress.time_ms, record.timestamp_ms)\n",
        "        time_ms = record.timestamp_ms\n",
        ("simulation", "properties"),
    ),
    Bug(
        "state is written before what made it",
        "records of a batch carry the state after it",
        "processors/store.py",
        "        self._hot.update(changes)\n        self._dirty.update(changes)\n",
        "        self._hot.update(changes)\n        self._dirty.update({key: changes[key] for key in list(changes)[1:]})\n",
    ),
    Bug(
        "replies before their transaction",
        "nobody is told what is not decided",
        "processors/batch.py",
        "            *reply_records(self._answers, self._partition, time_ms),\n",
        "            *reply_records(self._answers[:-1] or self._answers, self._partition, time_ms),\n",
    ),
    Bug(
        "an attempt is handed out twice",
        "each attempt is one work item",
        "processors/effects.py",
        "            records.append(_work_record(draft, event, event.data, partition))\n",
        "            records.extend([_work_record(draft, event, event.data, partition)] * (2 if event.data.attempt > 1 else 1))\n",
    ),
    Bug(
        "the end before every record is answered",
        "a transaction holds all of its records",
        "infra/kafka/transactions.py",
        "        for outcome in await asyncio.gather(*sends, return_exceptions=True):\n"
        "            if outcome is not None:\n                raise outcome\n",
        "        await asyncio.gather(*sends, return_exceptions=True)\n",
    ),
    Bug(
        "a refused batch does not fail its transaction",
        "a transaction holds all of its records",
        "infra/kafka/transactions.py",
        '                    self._refuse("Produce", answer.error_code, f"{place} {answer.message or \'\'}")\n',
        "                    pass\n",
        ("kafka",),
    ),
    Bug(
        "a producer lives on after an unknown end",
        "a late EndTxn ends nothing",
        "infra/kafka/transactions.py",
        "        self._usable = False  # until the end is known to be good; a cancelled call leaves it so\n",
        "",
        ("kafka",),
    ),
    Bug(
        "a command that is sent again gets a new number",
        "an append that is repeated appends once",
        "infra/kafka/appender.py",
        '                        last = "no answer"\n',
        '                        last, lane.producer_id = "no answer", -1\n',
        ("kafka",),
    ),
)
