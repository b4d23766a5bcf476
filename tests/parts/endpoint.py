"""An endpoint on this machine that speaks both protocols and misbehaves on demand."""

import hashlib
import json
import random
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FAULTS = (
    "429",
    "500",
    "slow",
    "cut",
    "reset",
    "upstream",
    "no choice",
    "broken json",
    "wrong type",
    "enormous",
)
KEY = "sk-live-" + "".join(f"{(number * 7919) % 100:02d}x" for number in range(30))[:79]
"""The key that tests set for players."""
CERTIFICATE = Path(__file__).with_name("self_signed.pem")
"""Of localhost, signed by itself and by nobody else."""


@dataclass
class Sent:
    """What to send instead of an answer: pieces of a body, as they are; those of an iterator until
    the line is closed.
    """

    status: int = 200  # 0: no head is sent, the pieces are all
    body: object = b""  # bytes, text, a JSON value, or an iterator of pieces
    headers: dict = field(default_factory=dict)
    kind: str = "application/json"

    def pieces(self):
        if isinstance(self.body, bytes):
            return [self.body]
        if isinstance(self.body, str):
            return [self.body.encode()]
        return [json.dumps(self.body).encode()] if isinstance(self.body, dict | list) else self.body


class Endpoint:
    """Answers with ``reply(messages)``; a share of the requests meets a fault, drawn from
    ``faults``.

    Args:
        script: called with (path, headers, body) of a question before all else; what it returns is
            sent, None = go on.
        models: what the list of models holds: a JSON value, or a Sent; None = there is no such
            list.
        tls: speak TLS, with a certificate that nobody vouches for.

    Attributes:
        requests: what was asked: (path, headers, body).
        lists: headers of the requests for the list of models.
        served: replies that were sent whole, by what the request asked.
        faulty: how often each fault was met.
        most: the most requests at once.
        bytes: how many bytes of bodies were taken.
        lines: how many connections were made.
    """

    def __init__(
        self, reply=None, share=0.0, faults=FAULTS, slow=1.0, seed=0, wait=0.0, script=None, models=None, tls=False
    ):  # fmt: skip
        self.reply, self.share, self.faults, self.slow, self.wait = (
            reply or answer,
            share,
            faults,
            slow,
            wait,
        )
        self.script, self.models, self.tls = script, models, tls
        self.requests, self.lists, self.served, self.faulty, self.most, self._now = (
            [],
            [],
            Counter(),
            Counter(),
            0,
            0,
        )
        self.bytes = self.lines = 0
        self.over = threading.Event()
        self._lock, self._random = threading.Lock(), random.Random(seed)

    def __enter__(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                outer._serve(self)

            def do_GET(self):
                outer._list(self)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_):
                pass

            def process_request_thread(self, request, client_address):
                with outer._lock:
                    outer.lines += 1
                super().process_request_thread(request, client_address)

        self._server = Server(("127.0.0.1", 0), Handler)
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_address[1]
        self.url = f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self._server.shutdown()
        self._server.server_close()

    def _list(self, handler):
        with self._lock:
            self.lists.append((handler.path, dict(handler.headers)))
        models = Sent(404, {"detail": "Not Found"}) if self.models is None else self.models
        self._write(handler, models if isinstance(models, Sent) else Sent(body=models))

    def _serve(self, handler):
        data = handler.rfile.read(int(handler.headers["Content-Length"]))
        body = json.loads(data)
        with self._lock:
            self.requests.append((handler.path, dict(handler.headers), body))
            fault = self._random.choice(self.faults) if self._random.random() < self.share else ""
            self.faulty[fault] += 1
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            time.sleep(self.slow if fault == "slow" else self.wait)
            said = self.script(handler.path, dict(handler.headers), body) if self.script else None
            if said is not None:
                self._write(handler, said)
            else:
                self._send(handler, body, fault)
        finally:
            with self._lock:
                self._now -= 1

    def _send(self, handler, body, fault):
        text = self.reply(body["messages"])
        content = said(handler.path, text)
        if fault == "no choice":
            content |= {"choices": [], "content": None}
        elif fault == "upstream" and "choices" in content:
            error = {"code": 502, "message": f"Provider disconnected, key {KEY}"}
            content["choices"] = [
                {
                    "finish_reason": "error",
                    "error": error,
                    "message": {"role": "assistant", "content": ""},
                }
            ]
        elif fault == "upstream":
            content = {
                "type": "error",
                "error": {"type": "overloaded_error", "message": "Overloaded"},
            }
        elif fault == "enormous":
            content["more"] = "x" * 2_000_000
        sent = Sent(body=json.dumps(content).encode())
        if fault in ("429", "500") or fault.isdigit():
            headers = {"Retry-After": "0.05"} if fault == "429" else {}
            sent = Sent(
                int(fault), f'{{"error": {{"message": "not now, key {KEY}"}}}}'.encode(), headers
            )
        elif fault == "broken json":
            sent = Sent(body=sent.body[: len(sent.body) // 2])
        elif fault == "wrong type":
            sent = Sent(body=b"<html>bad gateway</html>", kind="text/html")
        elif fault == "cut":
            sent.headers["Content-Length"] = str(len(sent.body) + 100)
        elif fault == "reset":
            handler.connection.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            handler.connection.close()
            handler.close_connection = True
            return
        self._write(handler, sent)
        if fault == "cut":
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
        elif not fault:
            with self._lock:
                self.served[key_of(body["messages"]), text] += 1

    def _write(self, handler, sent):
        pieces = sent.pieces()
        headers = {"Content-Type": sent.kind, **sent.headers}
        if "Content-Length" not in headers:
            headers |= (
                {"Content-Length": str(sum(map(len, pieces)))}
                if isinstance(pieces, list)
                else {"Connection": "close"}
            )
        if sent.status:
            handler.send_response(sent.status)
            for name, value in headers.items():
                handler.send_header(name, value)
            handler.end_headers()
        for piece in pieces:
            if self.over.is_set():
                break
            handler.wfile.write(piece)
            with self._lock:
                self.bytes += len(piece)
        handler.wfile.flush()


def said(path, text, **more):
    """The whole body of an answer, in the form of the path that was asked."""
    if "chat/completions" in path:
        message = {"role": "assistant", "content": text, "reasoning_content": "I looked."} | more
        usage = {
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "completion_tokens_details": {"reasoning_tokens": 5},
        }
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return {"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage}
    blocks = [{"type": "thinking", "thinking": "I looked."}, {"type": "text", "text": text}]
    usage = {"input_tokens": 100, "output_tokens": 20}
    return {
        "id": "x",
        "type": "message",
        "role": "assistant",
        "content": blocks,
        "stop_reason": "end_turn",
        "usage": usage,
    }


def key_of(messages):
    """What a request is about."""
    return hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).hexdigest()


def answer(messages):
    """A reply in the form, with a move 0 to 3 that follows from the request."""
    move = int(key_of(messages), 16) % 4
    return f"<perception>a board</perception><think>so be it</think><answer>{move}</answer>"
