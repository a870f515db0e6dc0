"""Another web server, which holds pictures for the stack to fetch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class PictureServer(ThreadingHTTPServer):
    """Serves `pictures` by path; `redirects` lead elsewhere; `asked` are the paths in their order."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pictures: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.asked: list[str] = []

    @property
    def place(self) -> str:
        """`host:port`, as the setting names it."""
        return f"127.0.0.1:{self.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.place}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, PictureServer)
        server.asked.append(self.path)
        target, picture = server.redirects.get(self.path), server.pictures.get(self.path)
        if target is not None:
            self.send_response(302)
            self.send_header("Location", target)
            self.end_headers()
        elif picture is None:
            self.send_error(404)
        else:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")  # what a server says is not believed
            self.end_headers()
            self.wfile.write(picture)

    def log_message(self, format: str, *args: object) -> None:
        return


@contextmanager
def picture_server() -> Iterator[PictureServer]:
    """A server on a port of its own."""
    server = PictureServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
