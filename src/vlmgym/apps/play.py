"""A person plays: a page on this machine only, whose episodes are saved as an ordinary trace of the
player ``human``.

Every answer is a text that is read like a model's reply. The page is ``assets/play.html``; nothing
comes from the network.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vlmgym.core import (
    NO_ACTION,
    ConfigError,
    Game,
    Level,
    State,
    VlmGymError,
    best_action,
    seeds_for,
)
from vlmgym.core.files import write_json
from vlmgym.dialogue import prompt
from vlmgym.dialogue.judge import Judgement, judge
from vlmgym.dialogue.prompt import Problem
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import Episode, EvaluationRun, TraceError, TraceWriter, Turn, read_trace
from vlmgym.evals import baselines
from vlmgym.evals.metrics import summarise
from vlmgym.evals.settings import Evaluation
from vlmgym.games.parts.actions import MOVE_FORMAT, MOVES, read_cell, read_pair
from vlmgym.players.base import Answer
from vlmgym.render.frames import frame_size, render, tile_boxes

PLAYER = "human"
HOST = "127.0.0.1"
LONGEST = 200
"""Characters of an answer, at most."""
BODY = 1 << 16
"""Bytes of a request's body, at most."""
SECONDS = 30.0
"""For a whole request, from the connection to its last byte."""
BUTTONS = 64
"""Most actions that get a button each; with more, answers are typed."""
REASONS = {
    Problem.NOT_A_MOVE: "not a move of this game",
    Problem.OUT_OF_RANGE: "outside of the board or of the moves",
    Problem.NOT_ADJACENT: "the two cells are not neighbours",
    Problem.EMPTY_ANSWER: "the answer is empty",
}


# ---- session
def input_kind(game: Game, level: Level) -> str:
    """How a person answers: ``moves`` (arrow keys), ``cell``, ``pair`` (clicks on tiles),
    ``buttons``, or only as ``text``.
    """
    many = game.n_actions(level)
    if game.sample(level).symbols.size:
        if many == len(MOVES) and game.answer_format(level) == MOVE_FORMAT:
            return "moves"
        first = game.encode(level, 0)
        if read_cell(first) is not None:
            return "cell"
        if read_pair(first) is not None:
            return "pair"
    return "buttons" if many <= BUTTONS else "text"


class Session:
    """The games that one person plays one after the other, and their trace.

    Safe to call from several threads.

    Args:
        task: game, level and look.
        seed: number of the first game; see :func:`vlmgym.core.seeds_for` (split ``free``, level
            name ``human``).
        out: folder for ``trace.jsonl`` and ``summary.json``. A trace of the same run (player, game,
            level, look and code) is continued; if there is another one, or someone is playing into
            it, ``out-2``, ``out-3`` ... is taken instead.

    Raises:
        ConfigError: bad seed, or a look that cannot draw the game.
    """

    def __init__(self, task: Task, seed: int, out: Path) -> None:
        if not 0 <= seed <= 1_000_000_000:
            raise ConfigError("seed", seed, "0 to 1000000000")
        self.task, self.first, self.index = task, seed, seed
        self.game = task.game
        self.level = task.level
        self.look = task.look
        self.size = frame_size(self.game, self.level, self.look)
        self._boxes = tile_boxes(self.game, self.level, self.look).tolist()
        self._kind = input_kind(self.game, self.level)
        self._lock = threading.RLock()
        self._closed = False
        self._number = 0  # of what is shown: raised by every turn and every new game
        self._deal()
        text = prompt.write_reply("-", "-", self.game.encode(self.level, 0))
        # compiles what the first turn needs; judging changes nothing
        judge(self.game, self.state, [text])

        run = EvaluationRun(PLAYER, task.names.game, task.names.level, task.names.look, task.prompt)
        self.folder, self._claim = _choose_folder(out.resolve(), run)
        self._trace = self.folder / "trace.jsonl"
        records = list(read_trace(self._trace)) if self._trace.exists() else []
        self._run = None if records else run  # still to be written
        self._writer: TraceWriter | None = None
        self._episode = 1 + max(
            (r.episode for r in records if not isinstance(r, EvaluationRun)), default=-1
        )
        for episode in _unfinished(records):
            self._write(episode)

    def _deal(self) -> None:
        seeds = seeds_for("free", self.game.name, PLAYER, 1, self.index)
        self.state = self.game.reset(self.level, seeds)
        self._turns, self._reward, self._finished, self._saved, self._helped = (
            0,
            0.0,
            False,
            False,
            False,
        )
        self._last: dict[str, Any] | None = None
        self._number += 1
        self._since = time.perf_counter()

    # ---- looking
    def view(self, refused: str = "") -> dict[str, Any]:
        """All that the page shows, as JSON values; ``refused`` says why an answer did not count."""
        with self._lock:
            state = self.state
            rows, cols = len(self._boxes), len(self._boxes[0]) if self._boxes else 0
            actions = (
                range(self.game.n_actions(self.level)) if self._kind in ("moves", "buttons") else ()
            )
            texts = [self.game.encode(self.level, a) for a in actions]
            return {
                "n": self._number,
                "game": self.task.names.game,
                "level": self.task.names.level,
                "look": self.task.names.look,
                "seed": self.index,
                "picture": f"/frame.png?n={self._number}",
                "size": list(self.size),
                "grid": [rows, cols],
                "boxes": self._boxes,
                "input": self._kind,
                "actions": [
                    [t, MOVES[i] if self._kind == "moves" else t] for i, t in enumerate(texts)
                ],
                "score": int(state.score[0]),
                "turn": int(state.steps[0]),
                "limit": self.level.max_steps,
                "status": self._status(),
                "last": self._last,
                "refused": refused,
                "prompt": prompt.prompt_text(self.game, self.level, self.task.prompt),
                "format": self.game.answer_format(self.level),
                "folder": str(self.folder),
            }

    def _status(self) -> str:
        if self._closed:
            return "closed"
        if self.state.terminated[0]:
            return "terminated"
        return "truncated" if self.state.truncated[0] else "playing"

    def picture(self) -> bytes:
        """The frame as PNG."""
        with self._lock:
            state = self.state
        file = io.BytesIO()
        Image.fromarray(render(self.game, state, self.look)[0]).save(file, "PNG")
        return file.getvalue()

    def truth(self) -> str:
        """The true board as text; empty for a game without symbols."""
        with self._lock:
            return prompt.truth(self.game, self.state)[0]

    def oracle(self) -> dict[str, Any]:
        """A best action: its text, what it does and its value; the text is None where there is
        none.

        Turns that follow such a look say so in the think block of their reply.
        """
        with self._lock:
            values = self.game.oracle(self.state)[0]
            best = best_action(values)
            if self.state.ended[0] or best == NO_ACTION:
                return {"answer": None, "does": "", "value": None}
            self._helped = True
            does = self.game.explain(self.state, 0, best)
            return {
                "answer": self.game.encode(self.level, best),
                "does": does,
                "value": float(values[best]),
            }

    # ---- playing
    def act(self, answer: str, number: int | None = None) -> dict[str, Any]:
        """Play a turn with the text of an answer, and return the new :meth:`view`.

        Args:
            answer: what a model would put into its answer block.
            number: the ``n`` of the view that is answered; an answer to an earlier one does not
                count.

        Raises:
            OSError: the turn could not be written down, so it was not played.
        """
        with self._lock:
            if number not in (None, self._number):
                return self.view("the board had changed meanwhile, in another window")
            if self._status() != "playing":
                return self.view(
                    "the session has ended"
                    if self._closed
                    else ("this game has ended: start a new one")
                )
            if len(answer) > LONGEST:
                return self.view(f"an answer has at most {LONGEST} characters")
            if "<" in answer:
                return self.view(
                    "an answer holds no <: it could not be told from the marks of the reply"
                )
            perception = prompt.truth(self.game, self.state)[0]
            think = f"{PLAYER}, shown the oracle's move" if self._helped else PLAYER
            text = prompt.write_reply(perception, think, answer)
            read = prompt.parse(self.game, self.level, text)
            if read.action == NO_ACTION:
                return self.view(
                    f"{REASONS.get(read.problem, read.problem.value)}. Expected: "
                    f"{self.game.answer_format(self.level)}"
                )
            now = time.perf_counter()
            after, (judged,) = judge(self.game, self.state, [text])
            told = Answer(text, seconds=now - self._since)
            self._write(Turn.of(self.game, self.state, 0, judged, self._episode, self._turns, told))
            self._reward += judged.terms["game"]
            self._turns += 1
            self.state, self._last, self._helped = after, self._outcome(judged), False
            self._number += 1
            self._since = time.perf_counter()
            try:
                if after.ended[0]:
                    self._finish()
            except OSError as error:
                return self.view(
                    f"the turn counts, but the end of the game could not be written: {error}"
                )
            return self.view()

    def _outcome(self, judged: Judgement) -> dict[str, Any]:
        text = self.game.encode(self.level, judged.reply.action)
        return {
            "answer": f"{text} ({MOVES[judged.reply.action]})" if self._kind == "moves" else text,
            "gain": judged.gain,
            "changed": judged.changed,
            "reward": judged.terms["game"],
        }

    def new(self) -> dict[str, Any]:
        """Leave the game, if it has not ended, and start the next one.

        Raises:
            OSError: the end of the game could not be written down; it stays.
        """
        with self._lock:
            if not self._closed:
                self._finish()
                self.index += 1
                self._deal()
            return self.view()

    def close(self) -> None:
        """Leave the game and end the session; the trace is on disk then."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                self._finish()
                if self._writer is not None:
                    self._writer.close()
            finally:
                if self._claim is not None:
                    os.close(self._claim)

    # ---- saving
    def _write(self, record: Turn | Episode) -> None:
        if self._writer is None:
            self._writer = TraceWriter(self._trace)
        if self._run is not None:
            self._writer.write(self._run)
            self._run = None
        self._writer.write(record)

    def _finish(self) -> None:
        """Write the episode, once, if it has turns; and the summary of the whole trace.

        What failed is tried again.
        """
        if self._saved or not self._turns:
            return
        if not self._finished:
            self._write(_episode(self._episode, self._turns, self._reward, self.state))
            self._finished = True
            self._episode += 1
        records = list(read_trace(self._trace))
        turns, episodes = (
            [r for r in records if isinstance(r, Turn)],
            [r for r in records if isinstance(r, Episode)],
        )
        whole = all(e.end != "stopped" for e in episodes)
        summary = {
            "player": PLAYER,
            "task": self.task.to_dict(),
            "evaluation": asdict(Evaluation(episodes=len(episodes), first=self.first)),
            "metrics": {k: v.to_dict() for k, v in summarise(turns, episodes).items()},
            "baselines": baselines.stored(self.game, self.task.names.level) if whole else {},
        }
        write_json(self.folder / "summary.json", summary)
        self._saved = True


def _episode(number: int, turns: int, reward: float, state: State) -> Episode:
    """The record of an episode that is left in ``state`` (one row)."""
    end = "terminated" if state.terminated[0] else "truncated" if state.truncated[0] else "stopped"
    return Episode(number, int(state.seed[0]), turns, int(state.score[0]), reward, end)


def _unfinished(records: list[EvaluationRun | Turn | Episode]) -> list[Episode]:
    """The episodes that a killed session left without a record."""
    done = {r.episode for r in records if isinstance(r, Episode)}
    open_: dict[int, list[Turn]] = {}
    for record in records:
        if isinstance(record, Turn) and record.episode not in done:
            open_.setdefault(record.episode, []).append(record)
    out = []
    for number, turns in open_.items():
        game, before = turns[-1].load()
        after, _ = game.step(before, np.array([turns[-1].action]))
        out.append(_episode(number, len(turns), sum(t.terms["game"] for t in turns), after))
    return out


def _choose_folder(out: Path, run: EvaluationRun) -> tuple[Path, int | None]:
    """The first of ``out``, ``out-2``, ``out-3`` ... that can take this run, and a lock on it."""
    for number in count(1):
        folder = out if number == 1 else out.with_name(f"{out.name}-{number}")
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = _lock(folder)
        except BlockingIOError:
            continue
        if _continues(folder / "trace.jsonl", run):
            return folder, lock
        if lock is not None:
            os.close(lock)
    raise AssertionError("unreachable")


def _lock(folder: Path) -> int | None:
    """Lock a folder against other sessions until the descriptor is closed; None where the system
    has no such locks.
    """
    try:
        import fcntl
    except ImportError:
        return None
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise
    except OSError:  # a file system without locks
        os.close(lock)
        return None
    return lock


def _continues(trace: Path, run: EvaluationRun) -> bool:
    """Whether a trace is missing, empty, or sound and of this very run."""
    try:
        records = list(read_trace(trace)) if trace.exists() else []
    except (TraceError, UnicodeDecodeError):
        return False
    return not records or (
        records[0] == run and not any(isinstance(r, EvaluationRun) for r in records[1:])
    )


# ---- server
class Server(ThreadingHTTPServer):
    """Serves one session on 127.0.0.1.

    ``token`` is what the page sends with each POST; ``url`` is the page's address.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, session: Session, port: int = 0) -> None:
        if not 0 <= port <= 65535:
            raise ConfigError("port", port, "0 (any free one) to 65535")
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise ConfigError(
                "port", port, f"a port that can be used, or 0 for any free one ({error})"
            ) from error
        self.session, self.token, self.nonce = (
            session,
            secrets.token_urlsafe(24),
            secrets.token_urlsafe(16),
        )
        number = self.server_address[1]
        self.url = f"http://{HOST}:{number}/"
        self.hosts = {f"{name}:{number}" for name in (HOST, "localhost")} | (
            {HOST, "localhost"} if number == 80 else set()
        )

    def page(self) -> str:
        """The page, with the token of this run."""
        html = (resources.files("vlmgym.apps") / "assets" / "play.html").read_text(encoding="utf-8")
        return html.replace("{{token}}", self.token).replace("{{nonce}}", self.nonce)

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
        self._connection, self._end = connection, time.monotonic() + seconds

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
        path, session = self.path.partition("?")[0], self.server.session
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
        if not secrets.compare_digest(
            self.headers.get("X-Token", "").encode(), self.server.token.encode()
        ):
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
            answer, number = values.get("answer"), values.get("n")
            if isinstance(answer, str) and (number is None or type(number) is int):
                self._json(session.act(answer, number))
            else:
                self._json({"error": "answer must be a text, n a whole number or missing"}, 400)
        elif self.path == "/new":
            self._json(session.new())
        elif self.path == "/oracle":
            self._json(session.oracle())
        else:
            self._json({"error": "no such page"}, 404)

    def _from_here(self) -> bool:
        """Refuse what another site's page could send: a foreign Host (DNS rebinding) or a foreign
        Origin.
        """
        host, origin = self.headers.get("Host", "").lower(), self.headers.get("Origin")
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
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(data))),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", policy),
            ("X-Content-Type-Options", "nosniff"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Referrer-Policy", "no-referrer"),
        ):
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
    before = {
        number: signal.signal(number, signal.default_int_handler)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
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
    try:
        with _interruptible(), Server(session, port) as server:
            sys.stdout.write(f"{game} {level} is played at {server.url}  (Ctrl-C ends it)\n")
            sys.stdout.flush()
            if ready is not None:
                threading.Thread(target=ready, args=(server.url,), daemon=True).start()
            server.serve_forever(poll_interval=0.1)
    except KeyboardInterrupt:
        pass
    finally:
        session.close()
    saved = session.folder / "trace.jsonl"
    sys.stdout.write(
        f"\ntrace and summary in {session.folder}\n"
        if saved.exists()
        else ("\nno turn was played\n")
    )
