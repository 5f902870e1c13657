"""What a model's server says before a run: asked only where somebody asks for it, without a prompt,
and the key shows nowhere.
"""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ambiemo.models import MODELS, WeightsPart
from ambiemo.plan.preflight import lacks, server_lacks

SECRET = "sk-secret-0123456789"
SPEC = MODELS["gpt-4o"]


class Server:
    """Answers GET with (status, body) by path; what is not there is 404. Counts what it was asked,
    and with which key.
    """

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, object]] = {}
        self.asked: list[str] = []
        self.keys: set[str] = set()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                server.keys.add(self.headers.get("Authorization", ""))
                status, body = server.answers.get(
                    self.path, (404, {"error": {"code": "model_not_found"}})
                )
                said = json.dumps(body).encode("utf-8")
                self.send_response(status)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(
            target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        self.options = {"base_url": f"http://127.0.0.1:{self.http.server_address[1]}/v1/"}


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


def test_a_model_that_is_there_lacks_nothing_and_no_prompt_is_sent(server):
    server.answers[f"/v1/models/{SPEC.weights}"] = (200, {"id": SPEC.weights})
    assert server_lacks(SPEC, server.options) == []
    assert server.asked == [f"/v1/models/{SPEC.weights}"]
    assert server.keys == {f"Bearer {SECRET}"}


def test_a_retired_model_is_named_with_what_is_known_of_it(server):
    ((what, do),) = server_lacks(SPEC, server.options)
    assert f"knows no model {SPEC.weights}; OpenAI answers 404" in what
    assert "successor" in do
    assert len(server.asked) == 2


def test_a_server_that_only_lists_its_models_is_asked_for_the_list(server):
    server.answers["/v1/models"] = (200, {"data": [{"id": "other"}, {"id": SPEC.weights}]})
    assert server_lacks(SPEC, server.options) == []


def test_another_model_under_the_name_is_said_before_a_dollar_is_spent(server):
    server.answers[f"/v1/models/{SPEC.weights}"] = (200, {"id": "gpt-audio"})
    ((what, _),) = server_lacks(SPEC, server.options)
    assert "has gpt-audio under the name" in what


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "refuses the key"), (403, "refuses the key"), (500, "answers HTTP 500")],
)
def test_other_answers_are_said(status, words, server):
    server.answers[f"/v1/models/{SPEC.weights}"] = (status, {"error": {"message": f"no {SECRET}"}})
    ((what, do),) = server_lacks(SPEC, server.options)
    assert words in what
    assert SECRET not in what + do


def test_no_server_and_no_json_are_said_in_one_line(server):
    ((what, _),) = server_lacks(SPEC, {"base_url": "http://127.0.0.1:9/v1"})
    assert what.startswith("the server of gpt-4o at http://127.0.0.1:9/v1 does not answer: ")
    assert "\n" not in what


def test_a_local_model_has_no_server_to_ask():
    assert server_lacks(MODELS["tiny"]) == []


def test_the_ordinary_preflight_asks_no_server(server):
    lacks(SPEC, "openai", options=server.options)
    assert server.asked == []


def test_an_unpinned_part_is_listed_as_missing():
    spec = MODELS["ultravox-v0.4"].changed(revision="c" * 40)
    assert not [what for what, _ in lacks(spec, "vllm", "cluster") if "part" in what]
    loose = spec.changed(
        parts=(WeightsPart(key="audio_model_id", weights="openai/whisper-medium"),)
    )
    assert "no pinned commit of a part: openai/whisper-medium (audio_model_id)" in dict(
        lacks(loose, "vllm", "cluster")
    )


def test_a_retired_row_says_since_when():
    retired = {name: spec.retired_since for name, spec in MODELS.items() if spec.retired_since}
    assert retired == {"gemini-2.0-flash": "2026-06-01", "gemini-2.5-pro": "2026-12-01"}
    for name in retired:
        assert retired[name] in MODELS[name].availability
    assert "404" in MODELS["gpt-4o"].availability
    assert MODELS["audio-flamingo-2"].availability.startswith("out of reach")
