"""An endpoint on this machine that speaks both protocols and misbehaves on demand."""

import hashlib
import json
import random
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULTS = ("429", "500", "slow", "cut", "no choice", "broken json", "wrong type", "enormous")


class Endpoint:
    """Answers with ``reply(messages)``; a share of the requests meets a fault, drawn from ``faults``.

    Attributes:
        requests: what was asked: (path, headers, body).
        served: replies that were sent whole, by what the request asked.
        faulty: how often each fault was met.
        most: the most requests at once.
    """

    def __init__(self, reply=None, share=0.0, faults=FAULTS, slow=1.0, seed=0, wait=0.0):
        self.reply, self.share, self.faults, self.slow, self.wait = reply or answer, share, faults, slow, wait
        self.requests, self.served, self.faulty, self.most, self._now = [], Counter(), Counter(), 0, 0
        self._lock, self._random = threading.Lock(), random.Random(seed)

    def __enter__(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                outer._serve(self)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_):
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

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
            self._send(handler, body, fault)
        finally:
            with self._lock:
                self._now -= 1

    def _send(self, handler, body, fault):
        kind, status, headers = "application/json", 200, {}
        text = self.reply(body["messages"])
        if "chat/completions" in handler.path:
            message = {"role": "assistant", "content": text, "reasoning_content": "I looked."}
            usage = {"prompt_tokens": 100, "completion_tokens": 20, "completion_tokens_details": {"reasoning_tokens": 5}}
            choices = [] if fault == "no choice" else [{"index": 0, "message": message, "finish_reason": "stop"}]
            content = {"id": "x", "object": "chat.completion", "choices": choices, "usage": usage}
        else:
            blocks = [{"type": "thinking", "thinking": "I looked."}, {"type": "text", "text": text}]
            content = {"id": "x", "type": "message", "role": "assistant", "content": None if fault == "no choice" else blocks}
            content |= {"stop_reason": "end_turn", "usage": {"input_tokens": 100, "output_tokens": 20}}
        data = json.dumps(content).encode()
        if fault in ("429", "500") or fault.isdigit():
            status, data = int(fault), b'{"error": {"message": "not now, key secret-key-1"}}'
            headers = {"Retry-After": "0.05"} if fault == "429" else {}
        elif fault == "broken json":
            data = data[: len(data) // 2]
        elif fault == "wrong type":
            kind, data = "text/html", b"<html>bad gateway</html>"
        elif fault == "enormous":
            data = json.dumps(content | {"more": "x" * 2_000_000}).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(data) + (100 if fault == "cut" else 0)))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)
        handler.wfile.flush()
        if fault == "cut":
            handler.connection.close()
        elif not fault:
            with self._lock:
                self.served[key_of(body["messages"]), text] += 1


def key_of(messages):
    """What a request is about."""
    return hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).hexdigest()


def answer(messages):
    """A reply in the form, with a move 0 to 3 that follows from the request."""
    move = int(key_of(messages), 16) % 4
    return f"<perception>a board</perception><think>so be it</think><answer>{move}</answer>"
