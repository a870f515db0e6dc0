"""A TCP proxy that understands Kafka's framing and meddles with one chosen request or answer.

    async with KafkaProxy("127.0.0.1", 9092) as proxy:
        client = await proxied_client(settings.kafka, proxy)
        caught = proxy.catch_request(END_TXN, "hold")
        ...
        await caught.arrived()        # the broker has not seen it
        await caught.forward()        # now it has, on the connection it came on
        await caught.replay()         # or: on a connection of its own, as a packet that was late; returns the answer

A rule meets the first request (or answer) with its api key after it was made, once. What it can do:
``hold`` keeps it until `forward`; everything behind it on that connection waits too.
``drop`` swallows it; the connection stays open and silent. ``cut`` swallows it and closes the connection.
``copy`` (requests) lets it pass and keeps it for `replay`.
"""

from __future__ import annotations

import asyncio
import struct
from types import TracebackType
from typing import Any, Literal, Self

from aiokafka.structs import BrokerMetadata

from infra.kafka.client import start_client
from infra.settings import KafkaSettings

PRODUCE = 0
INIT_PRODUCER_ID = 22
ADD_PARTITIONS_TO_TXN = 24
END_TXN = 26

Action = Literal["hold", "drop", "cut", "copy"]


class Caught:
    """One request or answer that a rule has met, or will."""

    def __init__(self, proxy: KafkaProxy, api_key: int, action: Action) -> None:
        self.api_key = api_key
        self.action = action
        self.frame = b""
        self._proxy = proxy
        self._arrived = asyncio.Event()
        self._forward = asyncio.Event()

    async def arrived(self, within_s: float = 10.0) -> None:
        """Returns when the rule has met its frame."""
        async with asyncio.timeout(within_s):
            await self._arrived.wait()

    async def forward(self) -> None:
        """Let a held frame go on where it was."""
        self._forward.set()
        await asyncio.sleep(0)

    async def replay(self) -> bytes:
        """Send the request on a connection of its own; the answer's bytes after its correlation id."""
        reader, writer = await asyncio.open_connection(*self._proxy.upstream)
        try:
            writer.write(self.frame)
            (size,) = struct.unpack(">i", await reader.readexactly(4))
            return (await reader.readexactly(size))[4:]
        finally:
            writer.close()
            await writer.wait_closed()

    def met(self, frame: bytes) -> None:
        self.frame = frame
        self._arrived.set()

    async def until_forwarded(self) -> None:
        await self._forward.wait()


class KafkaProxy:
    """Listens on a free port of 127.0.0.1 and relays to one broker."""

    def __init__(self, host: str, port: int) -> None:
        self.upstream = (host, port)
        self.port = 0
        self._requests: list[Caught] = []
        self._answers: list[Caught] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)

    def catch_request(self, api_key: int, action: Action) -> Caught:
        """Meet the next request with this api key."""
        caught = Caught(self, api_key, action)
        self._requests.append(caught)
        return caught

    def catch_answer(self, api_key: int, action: Action) -> Caught:
        """Meet the next answer to a request with this api key."""
        caught = Caught(self, api_key, action)
        self._answers.append(caught)
        return caught

    def forget(self, caught: Caught) -> None:
        """Take back a rule that has met nothing."""
        for rules in (self._requests, self._answers):
            if caught in rules:
                rules.remove(caught)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection(*self.upstream)
        except OSError:  # nobody listens there now, and the client has to see that
            writer.close()
            return
        self._writers |= {writer, upstream_writer}
        asked: dict[int, int] = {}
        relays = (
            self._relay(reader, upstream_writer, self._requests, asked, is_request=True),
            self._relay(upstream_reader, writer, self._answers, asked, is_request=False),
        )
        tasks = [asyncio.create_task(relay) for relay in relays]
        self._tasks.update(tasks)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._tasks.difference_update(tasks)
            writer.close()
            upstream_writer.close()

    async def _relay(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        rules: list[Caught],
        asked: dict[int, int],
        *,
        is_request: bool,
    ) -> None:
        while True:
            try:
                head = await reader.readexactly(4)
                body = await reader.readexactly(struct.unpack(">i", head)[0])
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            api_key = _note(body, asked) if is_request else asked.pop(struct.unpack_from(">i", body)[0], -1)
            rule = next((rule for rule in rules if rule.api_key == api_key), None)
            if rule is not None:
                rules.remove(rule)
                rule.met(head + body)
                if rule.action == "cut":
                    return
                if rule.action == "drop":
                    continue
                if rule.action == "hold":
                    await rule.until_forwarded()
            writer.write(head + body)
            await writer.drain()


def _note(body: bytes, asked: dict[int, int]) -> int:
    api_key, _, correlation_id = struct.unpack_from(">hhi", body)
    asked[correlation_id] = int(api_key)
    return int(api_key)


async def proxied_client(kafka: KafkaSettings, proxy: KafkaProxy, *, request_timeout_ms: int = 1_000) -> Any:
    """A client whose connections, all but the very first, go through the proxy (one broker)."""
    client = await start_client(kafka, request_timeout_ms=request_timeout_ms)
    client.cluster.broker_metadata = lambda node: BrokerMetadata(node, "127.0.0.1", proxy.port, None)
    return client
