"""Serve Audio Flamingo 2 by its owner's code, over the OpenAI chat protocol, so that the `openai`
engine can ask it.

    git clone https://github.com/NVIDIA/audio-flamingo --branch audio_flamingo_2
    cd audio-flamingo/inference_HF_pretrained         # its own environment: pip install -r requirements.txt
    huggingface-cli download nvidia/audio-flamingo-2 --revision 3a7f4aea17e72c7367940affea6749069a7095fc --local-dir .
    python PATH/TO/ambiemo/reproduce/audio_flamingo_2.py --code . --port 8000
    export AUDIO_FLAMINGO_2_BASE_URL=http://localhost:8000/v1

Runs in the owner's environment and imports nothing of ambiemo. It calls `predict` of the owner's
inference.py, so features, prompt and decoding are theirs. NOT RUN HERE on the real weights;
tests/test_models_audio_flamingo_2.py runs it on a stub of their code.

What the owner's code does that the answers show:
- the question is put into small letters, and cut at 512 tokens;
- an answer has 256 tokens at most, whatever the request says (a chain of thought may be cut off; it then ends with `length`);
- a clip is scaled to its loudest sample and cut at the configuration's longest window.
One request at a time: the owner's code has one model in global variables.
"""

import argparse
import base64
import importlib
import json
import os
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NAME = "nvidia/audio-flamingo-2"
LONGEST = 256
"""Tokens of an answer, as the owner's `predict` has it."""
PARTS = (
    "inference.py",
    "utils.py",
    "src/factory.py",
    "configs/inference.yaml",
    "safe_ckpt/metadata.json",
)


class Refused(Exception):
    """A request that cannot be answered: 400, with the message."""


class Owner:
    """The owner's module with its model loaded, as its own `__main__` part loads it."""

    def __init__(self, code: Path, device: str) -> None:
        import torch
        import yaml
        from safetensors.torch import load_file

        os.chdir(code)  # the owner's configuration names files from there
        sys.path.insert(0, str(code))
        self.torch: Any = torch
        self.module: Any = importlib.import_module("inference")
        utils: Any = importlib.import_module("utils")
        config = yaml.safe_load(Path("configs/inference.yaml").read_text(encoding="utf-8"))
        train = utils.Dict2Class(config["train_config"])
        model, tokenizer = self.module.create_model_and_transforms(
            **config["model_config"],
            clap_config=config["clap_config"],
            use_local_files=train.offline,
            gradient_checkpointing=train.gradient_checkpointing,
            freeze_lm_embeddings=train.freeze_lm_embeddings,
        )
        model = model.to(device).eval()
        weights: dict[str, Any] = {}
        for chunk in json.loads(Path("safe_ckpt/metadata.json").read_text(encoding="utf-8")):
            weights |= load_file(f"safe_ckpt/{chunk}.safetensors")
        model.load_state_dict(weights, strict=False)  # frozen parts are not in it: the owner's way
        self.tokenizer, self.clap = tokenizer, config["clap_config"]
        # `predict` reads these names from its module
        vars(self.module).update(
            model=model,
            tokenizer=tokenizer,
            device_id=device,
            cast_dtype=utils.get_cast_dtype(train.precision),
        )

    def answer(self, wav: bytes, prompt: str, how: dict[str, Any], seed: int | None) -> str:
        """The owner's answer to a prompt about a clip (the bytes of a wav file)."""
        if seed is not None:
            self.torch.manual_seed(seed)
        with tempfile.TemporaryDirectory() as folder:
            clip = Path(folder) / "clip.wav"
            clip.write_bytes(wav)
            return str(self.module.predict(str(clip), prompt, self.clap, how)).strip()

    def tokens(self, text: str) -> int:
        return len(self.tokenizer(text)["input_ids"])


def asked(body: dict[str, Any]) -> tuple[bytes, str, dict[str, Any], int | None]:
    """(wav, prompt, decoding, seed) of a chat request with one turn, one clip and one text. Raises
    Refused.
    """
    try:
        (turn,) = body["messages"]
        (clip,) = (part["input_audio"] for part in turn["content"] if part["type"] == "input_audio")
        (text,) = (part["text"] for part in turn["content"] if part["type"] == "text")
        wav = base64.b64decode(clip["data"], validate=True)
    except (KeyError, TypeError, ValueError) as error:
        raise Refused("expected one turn with one input_audio (base64 wav) and one text") from error
    if clip.get("format") != "wav":
        raise Refused(f"format: found {clip.get('format')!r}, expected 'wav'")
    if body.get("n", 1) != 1 or body.get("stream"):
        raise Refused("n and stream are not served: ask once per sample")
    temperature = float(body.get("temperature", 1.0))
    how: dict[str, Any] = {"do_sample": False}
    if temperature > 0:
        how = {
            "do_sample": True,
            "temperature": temperature,
            "top_p": float(body.get("top_p", 1.0)),
            "top_k": 0,
        }
    return wav, text, how, body.get("seed")


def completion(owner: Any, body: dict[str, Any]) -> dict[str, Any]:
    """A chat completion. Raises Refused for a request that cannot be served."""
    if body.get("model") != NAME:
        raise Refused(f"model: found {body.get('model')!r}, expected {NAME!r}")
    wav, prompt, how, seed = asked(body)
    text = owner.answer(wav, prompt, how, seed)
    asked_for, answer_tokens = owner.tokens(prompt), owner.tokens(text)
    choice = {
        "index": 0,
        "finish_reason": "length" if answer_tokens >= LONGEST else "stop",
        "message": {"role": "assistant", "content": text},
    }
    usage = {
        "prompt_tokens": asked_for,
        "completion_tokens": answer_tokens,
        "total_tokens": asked_for + answer_tokens,
    }
    return {"object": "chat.completion", "model": NAME, "choices": [choice], "usage": usage}


def server(owner: Any, port: int) -> ThreadingHTTPServer:
    """A server on this machine alone, not yet running: POST /v1/chat/completions, GET
    /v1/models.
    """
    one_at_a_time = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            there = self.path.rstrip("/") == "/v1/models"
            self.say(
                200 if there else 404,
                {"object": "list", "data": [{"id": NAME, "object": "model"}]} if there else {},
            )

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path != "/v1/chat/completions":
                return self.say(
                    404, {"error": {"message": f"{self.path}: only /v1/chat/completions is served"}}
                )
            try:
                with one_at_a_time:
                    return self.say(200, completion(owner, json.loads(content)))
            except (Refused, json.JSONDecodeError) as error:
                return self.say(400, {"error": {"message": str(error)}})
            except Exception as error:  # the owner's code: this request failed, the next may not
                return self.say(500, {"error": {"message": f"{type(error).__name__}: {error}"}})

        def say(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode("utf-8")
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def main() -> int:
    """Load the model and serve until interrupted. Exit 2 where something is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--code",
        type=Path,
        required=True,
        help="the owner's inference_HF_pretrained, with the weights in it",
    )
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--device", default="cuda")
    given = parser.parse_args()
    code = given.code.resolve()
    if absent := [part for part in PARTS if not (code / part).is_file()]:
        print(
            f"audio_flamingo_2: {code}: no {absent[0]}; see the first lines of this file",
            file=sys.stderr,
        )
        return 2
    httpd = server(Owner(code, given.device), given.port)
    print(f"audio_flamingo_2: http://127.0.0.1:{httpd.server_address[1]}/v1", flush=True)
    try:
        httpd.serve_forever()
    except KeyboardInterrupt:
        httpd.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
