"""A small HTTP server on this machine whose faults can be chosen."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Faults:
    """What goes wrong, and what was asked."""

    cut_after: int = 0  # bytes of the body after which the connection closes
    cuts: int = 0  # how many answers are cut like that
    ranges: bool = True  # whether Range is honoured
    busy: int = 0  # how many requests are answered 503
    wrong_start: bool = False  # answer a Range with other bytes
    asked: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, Range


@contextmanager
def serve(files: dict[str, bytes]) -> Iterator[tuple[str, Faults]]:
    """Serve `files` (path without leading slash -> content); yields base address and faults."""
    faults = Faults()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            asked = self.headers.get("Range", "")
            faults.asked.append((self.command, self.path.lstrip("/"), asked))
            content = files.get(self.path.lstrip("/"))
            if faults.busy > 0:
                faults.busy -= 1
                return self._head(503, 0)
            if content is None:
                return self._head(404, 0)
            match = re.fullmatch(r"bytes=(\d+)-", asked) if faults.ranges else None
            if match is None:
                self._head(200, len(content))
            else:
                start = int(match[1]) // 2 if faults.wrong_start else int(match[1])
                if start >= len(content):
                    return self._head(416, 0, f"bytes */{len(content)}")
                rest = content[start:]
                self._head(206, len(rest), f"bytes {start}-{len(content) - 1}/{len(content)}")
                content = rest
            if body:
                self._body(content)
            return None

        def _head(self, code: int, length: int, content_range: str = "") -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(length))
            if content_range:
                self.send_header("Content-Range", content_range)
            self.end_headers()

        def _body(self, content: bytes) -> None:
            if faults.cuts > 0:
                faults.cuts -= 1
                content = content[: faults.cut_after]
                self.close_connection = True
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", faults
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
