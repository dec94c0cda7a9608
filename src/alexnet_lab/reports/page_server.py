"""The page over HTTP, on the loopback interface alone: read-only, no file of the disk by its name.

One thread looks at the run folders as long as somebody watches, and sends the parts of the page that have changed
as server-sent events. Only requests that name this host are answered: a page elsewhere whose name is made to lead
here (DNS rebinding) is refused, and other pages cannot read the answers.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from alexnet_lab.core.errors import UserError
from alexnet_lab.reports.page import Rendered, policy, render, whole_page
from alexnet_lab.reports.page_content import Content, collect_page, run_folders
from alexnet_lab.reports.run_view import RunReader, signature, state_of
from alexnet_lab.runs.lock import holder
from alexnet_lab.runs.paths import reports_folder
from alexnet_lab.runs.result import RESULT_FILE

HOST = "127.0.0.1"
LOOK_SECONDS = 0.8  # between two looks at the folders
QUIET_SECONDS = 15.0  # after which a line is sent that means nothing, to notice who has gone
REPORTS = ("claims.json", "*/table.json", "*/*.png")  # of a sweep's reports folder, what the page shows
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Watch:
    """The page as it is now, and each version's number."""

    def __init__(self, sweep: Path) -> None:
        self.sweep = sweep
        self.changed = threading.Condition()
        self.version = 0
        self.watchers = 0
        self._own = secrets.token_hex(4)
        self._reader = RunReader()
        self._mark: object = None
        self._looking = threading.Lock()
        self.content: Content
        self.rendered: Rendered
        self.look()

    @property
    def token(self) -> str:
        """The name of this version, of this server's alone."""
        return self.token_of(self.version)

    def token_of(self, version: int) -> str:
        return f"{self._own}-{version}"

    def look(self) -> None:
        """Read what has changed since the last look."""
        with self._looking:
            mark = self._state()
            if mark == self._mark:
                return
            content = collect_page(self.sweep, self._reader, strict=False)
            rendered = render(content, out=None)
            self._mark = mark
            with self.changed:
                self.content, self.rendered = content, rendered
                self.version += 1
                self.changed.notify_all()

    def look_on(self) -> None:
        """Look again and again, as long as somebody watches."""
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.watchers > 0)
            with suppress(OSError):  # what was removed while it was read is seen at the next look
                self.look()
            time.sleep(LOOK_SECONDS)

    def news(self, before: Rendered | None, version: int) -> tuple[int, Rendered, dict[str, Any] | None]:
        """(version, page, what has changed since that version), or None for the last after a quiet while."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.version != version, timeout=QUIET_SECONDS):
                return version, self.rendered, None
            now, number = self.rendered, self.version
        return number, now, changes(before, now)

    def _state(self) -> object:
        folders = run_folders(self.sweep)
        reports = reports_folder(self.sweep.name)
        files = sorted(file for pattern in REPORTS for file in reports.glob(pattern))
        runs = [(folder.name, state_of(folder), _is_held(folder)) for folder in folders]
        return runs, [(file, signature(file)) for file in files]


def _is_held(folder: Path) -> bool:
    """Whether somebody runs it. One that is complete is not asked: asking holds the lock for an instant."""
    return signature(folder / RESULT_FILE) is None and holder(folder) is not None


def changes(before: Rendered | None, now: Rendered) -> dict[str, Any]:
    """The parts and charts that differ, and the order of the parts where that is another."""
    old_parts = {} if before is None else before.parts
    old_charts = {} if before is None else before.charts
    found: dict[str, Any] = {
        "parts": {name: html for name, html in now.parts.items() if old_parts.get(name) != html},
        "charts": {name: spec for name, spec in now.charts.items() if old_charts.get(name) != spec},
    }
    if list(old_parts) != list(now.parts):
        found["order"] = list(now.parts)
    return found


def serve(sweep: Path, port: int) -> Iterator[str]:
    """Yields the address once it answers, then serves until the program is ended. Raises UserError."""
    try:
        server = Server(port)
    except OSError as error:
        raise UserError(f"port={port}: cannot be had ({error.strerror}); choose another, or 0 for any") from None
    with server:
        policy(live=True)  # the charts' library is made now, and not when the first page is asked for
        server.watch = Watch(sweep)
        threading.Thread(target=server.watch.look_on, daemon=True).start()
        yield f"http://{HOST}:{server.server_port}/"
        server.serve_forever()


class Server(ThreadingHTTPServer):
    """On the loopback interface."""

    daemon_threads = True
    watch: Watch

    def __init__(self, port: int) -> None:
        super().__init__((HOST, port), Handler)

    @property
    def names(self) -> tuple[str, ...]:
        """What a request may call this host."""
        return tuple(f"{name}:{self.server_port}" for name in (HOST, "localhost"))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that has gone is no error."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds for a request to be said

    def do_GET(self) -> None:
        if self.headers.get("Host") not in self.server.names:
            self._answer(421, "text/plain", b"this server answers to 127.0.0.1 and localhost alone\n")
        elif self.path == "/":
            watch = self.server.watch
            watch.look()
            with watch.changed:
                page = whole_page(watch.content, watch.rendered, watch.token)
            self._answer(200, "text/html; charset=utf-8", page.encode())
        elif self.path.partition("?")[0] == "/events":
            self._events(self.headers.get("Last-Event-ID") or self.path.partition("?since=")[2])
        else:
            self._answer(404, "text/plain", b"there is only the page: /\n")

    def do_HEAD(self) -> None:
        self.do_GET()

    def _answer(self, code: int, kind: str, content: bytes) -> None:
        self.send_response(code)
        self._headers({"Content-Type": kind, "Content-Length": str(len(content))})
        if self.command != "HEAD":
            self.wfile.write(content)

    def _headers(self, own: dict[str, str]) -> None:
        for name, value in {**own, **HEADERS, "Content-Security-Policy": policy(live=True)}.items():
            self.send_header(name, value)
        self.end_headers()

    def _events(self, since: str) -> None:
        """What changes from now on; before that all of the page, where the browser has another version of it."""
        watch, before, version = self.server.watch, None, -1
        with watch.changed:
            if since == watch.token:
                before, version = watch.rendered, watch.version
        self.send_response(200)
        self.close_connection = True
        self._headers({"Content-Type": "text/event-stream", "Connection": "close"})
        if self.command == "HEAD":
            return
        with watch.changed:
            watch.watchers += 1
            watch.changed.notify_all()
        try:
            while True:
                version, before, found = watch.news(before, version)
                line = ": still here\n\n"
                if found is not None:
                    line = f"id: {watch.token_of(version)}\ndata: {json.dumps(found, allow_nan=False)}\n\n"
                self.wfile.write(line.encode())
                self.wfile.flush()
        except OSError:
            return  # the browser has gone
        finally:
            with watch.changed:
                watch.watchers -= 1

    def log_message(self, format: str, *arguments: Any) -> None:
        """Requests are not worth a line each."""
