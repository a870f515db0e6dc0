"""Uvicorn's HTTP/1.1 protocol with the limits that it lacks: header bytes, request line, time for the headers.

The parser (llhttp) takes headers without end and a client may send them as slowly as it likes. Here a request line
over 8 KiB is answered 414, headers over 16 KiB in all 431, a head that is not complete after 10 s 408, bytes that are
no request 400; each as a problem document, and the connection ends. A head that comes in one piece, as nearly all do,
costs a timer only once a connection. A body that stops coming for 20 s is answered 408 too.

An answer that ends the connection before all of the body was read (the file is too large) would never be seen: a socket
that is closed with unread bytes resets the connection, and the client loses what it has not read yet. So what still
comes is read over first, for a while and up to a bound.

What an answer writes in one turn of the loop leaves in one piece. Uvicorn writes head and body one after the other, and
each write is a system call and a packet for the client: a twentieth of a submit.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from infra.http.problems import of_status, problem_response

URI_BYTES_MAX = 8 << 10
HEADER_BYTES_MAX = 16 << 10
HEADERS_MAX = 100
HEAD_TIMEOUT_S = 10.0
BODY_TIMEOUT_S = 20.0
LINGER_S = 30.0
LINGER_BYTES_MAX = 128 << 20
JOINED_BYTES_MAX = 64 << 10


class LimitedProtocol(HttpToolsProtocol):
    """One connection."""

    _head_bytes = 0
    _head_count = 0
    _received_bytes = 0
    _in_head = True
    _refused = False
    _in_body = False
    _timer: asyncio.TimerHandle | None = None
    _read_over: int | None = None
    _held_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._held: list[bytes] = []
        self._answering: Any = _Answering(self)
        self._timer = self.loop.call_later(HEAD_TIMEOUT_S, self._is_late)

    def data_received(self, data: bytes) -> None:
        """Parse on; a refused connection reads nothing more."""
        if not self._refused:
            super().data_received(data)
            self._note(len(data))

    def _note(self, size: int) -> None:
        """Watch a head or body that is not complete: one deadline for a head, one for each piece of a body.

        The size of a head is watched here too, because the parser keeps an unfinished header to itself.
        """
        if self._refused or self._read_over is not None:
            return
        if self._in_head:
            self._received_bytes += size
            if self._received_bytes > URI_BYTES_MAX + HEADER_BYTES_MAX:
                self._refuse(431)
            elif self._timer is None:
                self._timer = self.loop.call_later(HEAD_TIMEOUT_S, self._is_late)
            return
        self._received_bytes = 0
        if self._timer is not None:
            self._stop_timer()
        if self._in_body:
            self._timer = self.loop.call_later(BODY_TIMEOUT_S, self._is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._head_bytes = self._head_count = 0
        self._in_head = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._head_bytes += len(url)
        if self._head_bytes > URI_BYTES_MAX:
            self._refuse(414)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value)
        self._head_count += 1
        if self._head_bytes > HEADER_BYTES_MAX or self._head_count > HEADERS_MAX:
            self._refuse(431)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._in_body = True
        if not self._refused:
            super().on_headers_complete()
            self.cycle.transport = self._answering

    def on_message_complete(self) -> None:
        self._in_body = False
        if self._read_over is not None:
            self._end()
        elif not self._refused:
            super().on_message_complete()

    def on_body(self, body: bytes) -> None:
        if self._read_over is not None:
            self._read_over += len(body)
            if self._read_over > LINGER_BYTES_MAX:
                self._end()
        elif not self._refused:
            super().on_body(body)

    def write_joined(self, piece: bytes) -> None:
        """Write what an answer has, together with what it has until the loop turns, or until that is much."""
        if not self._held:
            self.loop.call_soon(self._write_held)
        self._held.append(piece)
        self._held_bytes += len(piece)
        if self._held_bytes > JOINED_BYTES_MAX:
            self._write_held()

    def _write_held(self) -> None:
        if self._held:
            pieces, self._held, self._held_bytes = self._held, [], 0
            if not self.transport.is_closing():
                self.transport.writelines(pieces)

    def shutdown(self) -> None:
        """The server ends; what an answer has written is written first."""
        self._write_held()
        super().shutdown()

    def close_when_read(self) -> None:
        """End the connection once the rest of the body has come, or its bounds are reached."""
        self._write_held()
        if not self._in_body:
            self.transport.close()
        elif self._read_over is None:
            self._read_over = 0
            self._stop_timer()
            self._timer = self.loop.call_later(LINGER_S, self._end)

    def _end(self) -> None:
        self._refused = True
        self._stop_timer()
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls for bytes that are no request."""
        if not self._refused:
            self._refuse(400)

    def _is_late(self) -> None:
        self._timer = None
        if self._in_head or (self._in_body and not self.flow.read_paused):
            self._refuse(408)
        elif self._in_body:  # it is the application that does not read on
            self._timer = self.loop.call_later(BODY_TIMEOUT_S, self._is_late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: int) -> None:
        if self._refused:
            return
        self._refused = True
        self._write_held()
        transport: Any = self.transport
        if not transport.is_closing():
            if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
                transport.write(_answer(status))
            transport.close()


class _Answering:
    """The transport as the connection's cycles of request and answer see it.

    It joins what is written at once, and closes only when the client can have read all.
    """

    def __init__(self, protocol: LimitedProtocol) -> None:
        self._protocol = protocol
        self.write = protocol.write_joined
        self.is_closing = protocol.transport.is_closing

    def close(self) -> None:
        self._protocol.close_when_read()


def _answer(status: int) -> bytes:
    response = problem_response(of_status(status), None)
    head = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode(), b"connection: close"]
    head += [name + b": " + value for name, value in response.raw_headers]
    return b"\r\n".join([*head, b"", bytes(response.body)])
