"""A small OpenAI-compatible server that really decodes the clip: its answer depends on audio,
prompt, seed and temperature.
"""

import base64
import hashlib
import io
import json
import random
import threading
import wave
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np


class QuietServer(ThreadingHTTPServer):
    """Handles every request in a thread of its own and keeps silent about clients that went
    away.
    """

    daemon_threads = True

    def start(self) -> None:
        threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def handle_error(self, *_: object) -> None:
        pass

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class Refusal(Exception):
    """Raised by a test's own `answer`: the server sends this status and body instead."""

    def __init__(self, status: int, body: object) -> None:
        super().__init__(status, body)
        self.status, self.body = status, body


class Upstream:
    """Serves /v1/chat/completions on a free port of 127.0.0.1; `made` lists the Idempotency-Key of
    every answer generated.
    """

    def __init__(self, model: str = "small") -> None:
        self.model = model
        self.made: list[str] = []
        self.bodies: list[dict] = []
        self.keys: list[str] = []
        self.refused = 0
        self._lock = threading.Lock()
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, said = upstream.listed(self.path.removeprefix("/v1"))
                reply = json.dumps(said).encode("utf-8")
                self.send_response(status)
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                identity = self.headers.get("Idempotency-Key", "")
                status = 200
                try:
                    answer: object = upstream.answer(body)
                    with upstream._lock:
                        upstream.made.append(identity)
                        upstream.bodies.append(body)
                        upstream.keys.append(self.headers.get("Authorization", ""))
                except Refusal as refusal:
                    status, answer = refusal.status, refusal.body
                    with upstream._lock:
                        upstream.refused += 1
                reply = json.dumps(answer).encode("utf-8")
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, *_: object) -> None:
                pass

        self._server = QuietServer(("127.0.0.1", 0), Handler)
        self._server.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def close(self) -> None:
        self._server.close()

    def listed(self, path: str) -> tuple[int, object]:
        """Status and body of a GET: the models that there are."""
        if path == "/models":
            return 200, {"object": "list", "data": [{"id": self.model}]}
        if path == f"/models/{self.model}":
            return 200, {"id": self.model}
        return 404, {"error": {"code": "model_not_found"}}

    def answer(self, body: dict) -> dict:
        audio, prompt = body["messages"][0]["content"]
        with wave.open(io.BytesIO(base64.b64decode(audio["input_audio"]["data"]))) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
            samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        heard = hashlib.sha256(samples.tobytes() + prompt["text"].encode("utf-8")).hexdigest()
        source = heard if body["temperature"] == 0 else f"{heard}{body['seed']}"
        chance = random.Random(source)
        shares = [chance.random() for _ in range(4)]
        text = json.dumps(
            dict(
                zip(
                    ("neutral", "happy", "angry", "sad"),
                    [s / sum(shares) for s in shares],
                    strict=True,
                )
            )
        )
        choice = {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": text},
        }
        if body.get("logprobs"):
            choice["logprobs"] = {"content": [{"token": "x", "logprob": -0.25} for _ in range(20)]}
        prompt_tokens = 30 + len(samples) // 1600
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 0,
            "model": self.model,
            "system_fingerprint": "fp_small",
            "choices": [choice],
            "usage": {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": 20,
                "total_tokens": prompt_tokens + 20,
                "prompt_tokens_details": {"audio_tokens": len(samples) // 1600},
            },
        }
