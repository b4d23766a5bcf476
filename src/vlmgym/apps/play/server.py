"""The page's server: on this machine only, for one session.

The page is ``assets/play.html``; nothing comes from the network.
"""

from __future__ import annotations

import io
import json
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import Any

from vlmgym.apps.play.session import Session
from vlmgym.core import ConfigError, VlmGymError
from vlmgym.episodes.task import Task
from vlmgym.render.frames import frame_size

HOST = "127.0.0.1"

BODY = 1 << 16
"""Bytes of a request's body, at most."""

SECONDS = 30.0
"""For a whole request, from the connection to its last byte."""


class Server(ThreadingHTTPServer):
    """Serves one session on 127.0.0.1, until the page chooses another game, level or look.

    ``token`` is what the page sends with each POST; ``url`` is the page's address; ``out`` is where
    the sessions are kept.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, session: Session, port: int = 0, out: Path | None = None) -> None:
        if not 0 <= port <= 65535:
            raise ConfigError("port", port, "0 (any free one) to 65535")
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            allowed = f"a port that can be used, or 0 for any free one ({error})"
            raise ConfigError("port", port, allowed) from error
        self.session = session
        self.out = session.folder if out is None else out
        self._choosing = threading.Lock()
        self.token = secrets.token_urlsafe(24)
        self.nonce = secrets.token_urlsafe(16)
        number = self.server_address[1]
        self.url = f"http://{HOST}:{number}/"
        self.hosts = {f"{HOST}:{number}", f"localhost:{number}"}
        if number == 80:
            self.hosts |= {HOST, "localhost"}

    def page(self) -> str:
        """The page, with the token of this run."""
        path = resources.files("vlmgym.apps") / "assets" / "play.html"
        html = path.read_text(encoding="utf-8")
        return html.replace("{{token}}", self.token).replace("{{nonce}}", self.nonce)

    def choose(self, game: str, level: str, look: str) -> dict[str, Any]:
        """End the session, and begin one of another game, level or look; returns what is to be
        seen.

        Raises:
            ConfigError: a game that is not offered, no such level or look, or one that cannot draw
                the game; then the session goes on.
            OSError: the end of the session could not be written down.
        """
        with self._choosing:
            before = self.session
            offered = before.offered()["game"]
            if game not in offered:
                raise ConfigError("game", game, "one of " + ", ".join(offered))
            task = Task(game, level, look)
            frame_size(task.game, task.level, task.look)
            before.close()
            self.session = Session(task, before.index + 1, self.out, before.shown)
            return self.session.view()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over browsers that hang up; report everything else."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class _Before(io.RawIOBase):
    """Reads a socket up to a point in time, so that a client which sends a byte now and then cannot
    stay.
    """

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        super().__init__()
        self._connection = connection
        self._end = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connection.settimeout(max(self._end - time.monotonic(), 1e-3))
        return self._connection.recv_into(buffer)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version = "vlmgym"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(SECONDS)
        self.rfile = io.BufferedReader(_Before(self.connection, SECONDS))

    def do_GET(self) -> None:
        if not self._from_here():
            return
        path = self.path.partition("?")[0]
        session = self.server.session
        if path == "/":
            self._send(200, "text/html; charset=utf-8", self.server.page().encode())
        elif path == "/frame.png":
            self._send(200, "image/png", session.picture())
        elif path == "/state":
            self._json(session.view())
        elif path == "/truth":
            self._json({"text": session.truth()})
        else:
            self._json({"error": "no such page"}, 404)

    def do_POST(self) -> None:
        size = self.headers.get("Content-Length", "")
        if not size.isdecimal() or len(size) > 9 or int(size) > BODY:
            self._json({"error": f"a body of at most {BODY} bytes is needed"}, 413)
            return
        body = self.rfile.read(int(size))
        if not self._from_here():
            return
        token = self.headers.get("X-Token", "")
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            self._json({"error": "the token is missing or of another run: reload the page"}, 403)
            return
        try:
            values = json.loads(body)
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            self._json({"error": "the body is no JSON object"}, 400)
            return
        try:
            self._post(values)
        except (VlmGymError, OSError) as error:
            self._json({"error": str(error)}, 500)

    def _post(self, values: dict[str, Any]) -> None:
        session = self.server.session
        if self.path == "/act":
            answer = values.get("answer")
            number = values.get("n")
            if isinstance(answer, str) and (number is None or type(number) is int):
                self._json(session.act(answer, number))
            else:
                self._json({"error": "answer must be a text, n a whole number or missing"}, 400)
        elif self.path == "/new":
            self._json(session.new())
        elif self.path == "/oracle":
            self._json(session.oracle())
        elif self.path == "/choose":
            names = [values.get(name) for name in ("game", "level", "look")]
            if all(isinstance(name, str) for name in names):
                self._json(self._chosen(*map(str, names)))
            else:
                self._json({"error": "game, level and look must be texts"}, 400)
        else:
            self._json({"error": "no such page"}, 404)

    def _chosen(self, game: str, level: str, look: str) -> dict[str, Any]:
        """Another session, or why there is none."""
        try:
            return self.server.choose(game, level, look)
        except ConfigError as error:
            return self.server.session.view(str(error))

    def _from_here(self) -> bool:
        """Refuse what another site's page could send: a foreign Host (DNS rebinding) or a foreign
        Origin.
        """
        host = self.headers.get("Host", "").lower()
        origin = self.headers.get("Origin")
        if host in self.server.hosts and origin in (None, f"http://{host}"):
            return True
        self._json({"error": f"only requests to {self.server.url} are answered"}, 403)
        return False

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """The base class' errors, with the headers of every other answer."""
        # no line of a request was read; its answer has headers all the same
        if self.request_version == "HTTP/0.9":
            self.request_version = "HTTP/1.0"
        self._json({"error": message or "this request is not answered"}, code)

    def _json(self, value: dict[str, Any], status: int = 200) -> None:
        self._send(status, "application/json; charset=utf-8", json.dumps(value).encode())

    def _send(self, status: int, kind: str, data: bytes) -> None:
        nonce = self.server.nonce
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src "
            "'self' data:; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(data)),
            "Cache-Control": "no-store",
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
        }
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep silent."""


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGINT and SIGTERM end the server like Ctrl-C, also where a shell had them ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def serve(
    game: str,
    level: str = "normal",
    look: str = "clean",
    seed: int = 0,
    out: Path = Path("runs/human"),
    port: int = 0,
    ready: Callable[[str], object] | None = None,
) -> None:
    """Let a person play in the browser until Ctrl-C; returns when the trace is on disk.

    Args:
        game: name of the game.
        level: name of the level, or ``name:field=value,...``.
        look: name of the look, or ``name:field=value,...``.
        seed: number of the first game of the split ``free``; each new game takes the next.
        out: folder for ``trace.jsonl`` and ``summary.json``; see :class:`Session` for what happens
            to an earlier trace.
        port: of 127.0.0.1; 0 = any free one.
        ready: called with the page's address, in a thread of its own, once the page can be opened.

    Raises:
        ConfigError: unknown game, level or look, or a port that cannot be used.
    """
    session = Session(Task(game, level, look), seed, Path(out))
    server = None
    try:
        with _interruptible(), Server(session, port, Path(out)) as server:
            sys.stdout.write(f"{game} {level} is played at {server.url}  (Ctrl-C ends it)\n")
            sys.stdout.flush()
            if ready is not None:
                threading.Thread(target=ready, args=(server.url,), daemon=True).start()
            server.serve_forever(poll_interval=0.1)
    except KeyboardInterrupt:
        pass
    finally:
        session = session if server is None else server.session
        session.close()
    played = (session.folder / "trace.jsonl").exists()
    ending = f"trace and summary in {session.folder}" if played else "no turn was played"
    sys.stdout.write(f"\n{ending}\n")
