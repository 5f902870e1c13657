"""The server around Audio Flamingo 2's owner's code, as a process, on a stub of that code, asked by
our own engine.

The stub is ours. It has the names, the globals and the files that the owner's inference.py has, and
answers by what it hears.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the transformers extra is not installed")

from ambiemo.draws import Decoding  # noqa: E402
from ambiemo.engines import Request  # noqa: E402
from ambiemo.engines.openai import OpenAIEngine  # noqa: E402
from ambiemo.models import MODELS  # noqa: E402
from ambiemo.plan.preflight import server_lacks  # noqa: E402

SCRIPT = Path(__file__).resolve().parent.parent / "reproduce" / "audio_flamingo_2.py"
SPEC = MODELS["audio-flamingo-2"]
STUB = {
    "inference.py": """
import wave
import torch
from src.factory import create_model_and_transforms

def predict(filepath, question, clap_config, inference_kwargs):
    if "break" in question:
        raise RuntimeError("the owner's code fell over")
    assert clap_config == {"window_length": 10.0}, clap_config
    assert cast_dtype is torch.float32, cast_dtype
    with wave.open(filepath) as file:
        heard = torch.frombuffer(bytearray(file.readframes(file.getnframes())), dtype=torch.int16).float().to(device_id)
    text = model.generate(heard, question.lower(), max_new_tokens=256, **inference_kwargs)
    return " " + text + "<|endofchunk|>".replace("<|endofchunk|>", "")
""",
    "utils.py": """
import torch

class Dict2Class:
    def __init__(self, data):
        vars(self).update(data)

def get_cast_dtype(precision):
    return {"fp32": torch.float32}[precision]
""",
    "src/__init__.py": "",
    "src/factory.py": """
import torch

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.zeros(1))
        self.frozen = torch.nn.Parameter(torch.zeros(1))

    def generate(self, heard, text, max_new_tokens, do_sample, temperature=1.0, top_p=1.0, top_k=50):
        assert self.scale.item() == 2.0, "the weights were not loaded"
        assert top_k == 0 or not do_sample
        if "long" in text:
            return "word " * max_new_tokens
        noise = torch.rand(1).item() if do_sample else 0.0
        return '{"loud": %.6f}' % (heard.abs().mean().item() * self.scale.item() + noise)

def tokenizer(text, **_):
    return {"input_ids": text.split()}

def create_model_and_transforms(name, clap_config, use_local_files, gradient_checkpointing, freeze_lm_embeddings):
    assert name == "stub"
    return Model(), tokenizer
""",
    "configs/inference.yaml": """
model_config: {name: stub}
clap_config: {window_length: 10.0}
train_config: {offline: false, gradient_checkpointing: true, freeze_lm_embeddings: true, precision: fp32}
""",
    "safe_ckpt/metadata.json": '{"chunk_0": ["scale"]}',
}


@pytest.fixture(scope="module")
def code(tmp_path_factory) -> Path:
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("owner")
    for name, text in STUB.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    save_file({"scale": torch.full((1,), 2.0)}, folder / "safe_ckpt" / "chunk_0.safetensors")
    return folder


@pytest.fixture(scope="module")
def address(code) -> Iterator[str]:
    command = [sys.executable, str(SCRIPT), "--code", str(code), "--port", "0", "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("audio_flamingo_2: http://127.0.0.1:"), line
    yield line.split()[-1]
    process.terminate()
    process.wait(timeout=20)


@pytest.fixture(scope="module")
def engine(address) -> Iterator[OpenAIEngine]:
    made = OpenAIEngine(SPEC, base_url=address, attempts=1)
    yield made
    made.close()


def requests(count: int = 3, prompt: str = "How does it SOUND?") -> list[Request]:
    def clip(n: int) -> np.ndarray:
        return (np.random.default_rng(n).uniform(-0.5, 0.5, 8000) * (n + 1) / 4).astype(np.float32)

    return [
        Request(key=f"{n:064x}", prompt=prompt, audio=clip(n), seed=n * 7919) for n in range(count)
    ]


def texts(answers) -> list[list[str]]:
    assert [answer.failure for answer in answers] == [""] * len(answers)
    return [[candidate.text for candidate in answer.candidates] for answer in answers]


def test_the_row_s_engine_is_answered_by_what_the_owner_s_code_hears(engine):
    told = texts(engine.draw(requests(), Decoding("greedy", max_tokens=64)))
    assert len({one for (one,) in told}) == 3
    assert told == texts(engine.draw(requests(), Decoding("greedy", max_tokens=64)))


def test_samples_follow_their_seeds_and_the_first_of_many_are_the_few(engine):
    few = texts(engine.draw(requests(), Decoding("sample", 2, 0.8, 0.9, 64)))
    many = texts(engine.draw(requests(), Decoding("sample", 4, 0.8, 0.9, 64)))
    assert [one[:2] for one in many] == few
    assert len(set(many[0])) == 4


def test_an_answer_that_the_owner_s_limit_cuts_off_says_so(engine):
    answer = engine.draw(requests(1, "a long one"), Decoding("greedy", max_tokens=384))[0]
    assert answer.candidates[0].finish_reason == "length"


def test_a_request_that_the_owner_s_code_cannot_answer_fails_alone(engine):
    answer = engine.draw(requests(1, "break"), Decoding("greedy", max_tokens=64))[0]
    assert "the owner's code fell over" in answer.failure
    assert texts(engine.draw(requests(1), Decoding("greedy", max_tokens=64)))


def test_the_preflight_finds_the_model_there(address):
    assert server_lacks(SPEC, {"base_url": address}) == []


def test_another_model_s_name_is_refused(address):
    from urllib.error import HTTPError
    from urllib.request import Request as Ask
    from urllib.request import urlopen

    body = json.dumps({"model": "gpt-4o", "messages": []}).encode()
    with pytest.raises(HTTPError) as error:
        urlopen(Ask(f"{address}/chat/completions", body), timeout=20)
    assert error.value.code == 400
    assert "expected 'nvidia/audio-flamingo-2'" in error.value.read().decode()


def test_without_the_owner_s_code_it_ends_in_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--code", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"audio_flamingo_2: {tmp_path}: no inference.py; see")
    assert done.stderr.count("\n") == 1


def test_the_script_names_the_revision_of_the_row():
    assert f"--revision {SPEC.revision}" in SCRIPT.read_text(encoding="utf-8")
