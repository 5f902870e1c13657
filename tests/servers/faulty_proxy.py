"""A proxy that stands before a real OpenAI-compatible server and breaks responses in all the ways
networks do.

Faults before the server is asked (it generates, and bills, nothing): 401 429 429-date 429-ms 500
503 503-html reset-before. Faults after it has answered: truncated wrong-json no-choices hang drip
reset 504. Faults that change the answer: empty filtered other-model thinking no-usage. With
replay=True the proxy honours Idempotency-Key, as gateways do: a retried request gets the first
answer again, and the server behind is asked once.
"""

import http.client
import json
import socket
import struct
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from servers.upstream import QuietServer

BEFORE = ("401", "429", "429-date", "429-ms", "500", "503", "503-html", "reset-before")
AFTER = ("truncated", "wrong-json", "no-choices", "hang", "drip", "reset", "504")


class FaultyProxy:
    """fault(identity, attempt) names the fault for the attempt-th request (from 1) with an
    Idempotency-Key; "" = none.
    """

    def __init__(
        self,
        upstream: str,
        fault: Callable[[str, int], str],
        replay: bool = True,
        hang_s: float = 5.0,
    ) -> None:
        self.upstream = urlsplit(upstream)
        self.fault = fault
        self.replay = replay
        self.hang_s = hang_s
        self.seen: Counter[str] = Counter()
        self.asked_upstream: Counter[str] = Counter()
        self.delivered: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.most_at_once = 0
        self._at_once = 0
        self._kept: dict[str, tuple[int, bytes]] = {}
        self._asking: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                with suppress(BrokenPipeError, ConnectionResetError):  # the client gave up waiting
                    proxy.handle(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = QuietServer(("127.0.0.1", 0), Handler)
        self._server.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}{self.upstream.path}"

    def close(self) -> None:
        self._server.close()

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        identity = handler.headers.get("Idempotency-Key", "")
        with self._lock:
            self.seen[identity] += 1
            fault = self.fault(identity, self.seen[identity])
            self.faults[fault] += 1
        if fault in BEFORE:
            return self.refuse(handler, fault)
        status, reply = self.ask(
            handler.path, identity, body, handler.headers.get("Authorization", "")
        )
        if status == 200:
            reply = self.change(fault, reply)
        if fault == "truncated":
            self.send(handler, status, reply, length=len(reply) + 100)
            handler.close_connection = True
        elif fault == "wrong-json":
            self.send(handler, 200, reply[: len(reply) // 2])
        elif fault == "no-choices":
            self.send(handler, 200, b'{"object": "chat.completion"}')
        elif fault == "hang":
            time.sleep(self.hang_s)
            handler.close_connection = True
        elif fault == "drip":
            self.send(handler, status, b"", length=len(reply))
            for byte in reply:
                handler.wfile.write(bytes([byte]))
                handler.wfile.flush()
                time.sleep(self.hang_s / 20)
        elif fault == "reset":
            self.reset(handler)
        elif fault == "504":
            self.send(handler, 504, b'{"error": {"message": "the gateway waited no longer"}}')
        else:
            with self._lock:  # before it is sent: the client may be done before this thread goes on
                self.delivered[identity] += 1
            self.send(handler, status, reply)
        return None

    def ask(self, path: str, identity: str, body: bytes, authorization: str) -> tuple[int, bytes]:
        with self._lock:
            asking = self._asking[identity]
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            with asking:  # a retry waits for the first try of the same request
                if not (self.replay and identity in self._kept):
                    self._kept[identity] = self.forward(path, identity, body, authorization)
                return self._kept[identity]
        finally:  # before the answer is sent, so that a quick client is not counted twice
            with self._lock:
                self._at_once -= 1

    def forward(
        self, path: str, identity: str, body: bytes, authorization: str
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(
            self.upstream.hostname or "", self.upstream.port, timeout=120
        )
        connection.request(
            "POST",
            path,
            body,
            {
                "Content-Type": "application/json",
                "Idempotency-Key": identity,
                "Authorization": authorization,
            },
        )
        response = connection.getresponse()
        answer = (response.status, response.read())
        connection.close()
        with self._lock:
            self.asked_upstream[identity] += 1
        return answer

    def change(self, fault: str, reply: bytes) -> bytes:
        answer = json.loads(reply)
        if fault == "empty":
            answer["choices"] = []
        elif fault == "filtered":
            answer["choices"][0]["finish_reason"] = "content_filter"
            answer["choices"][0]["message"]["content"] = None
        elif fault == "other-model":
            answer["model"] = "a-newer-model"
        elif fault == "thinking":  # a model that spent its tokens before it answered
            answer["choices"][0]["finish_reason"] = "length"
            answer["choices"][0]["message"]["content"] = None
        elif fault == "no-usage":
            del answer["usage"]
        return json.dumps(answer).encode("utf-8")

    def refuse(self, handler: BaseHTTPRequestHandler, fault: str) -> None:
        if fault == "reset-before":
            return self.reset(handler)
        headers = {
            "429": {"Retry-After": "0.05"},
            "429-ms": {"Retry-After-Ms": "50"},
            "429-date": {"Retry-After": formatdate(time.time() + 1, usegmt=True)},
        }.get(fault, {})
        reply = (
            b"<html>Bad gateway</html>"
            if fault == "503-html"
            else b'{"error": {"message": "too much", "code": "busy"}}'
        )
        return self.send(handler, int(fault[:3]), reply, headers=headers)

    def send(
        self,
        handler: BaseHTTPRequestHandler,
        status: int,
        reply: bytes,
        length: int | None = None,
        headers: dict | None = None,
    ) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(reply) if length is None else length))
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(reply)
        handler.wfile.flush()

    def reset(self, handler: BaseHTTPRequestHandler) -> None:
        """Close so that the client gets a TCP RST, not an orderly end."""
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
        handler.close_connection = True
