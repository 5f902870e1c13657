"""The OpenAI-compatible engine against vLLM's own server, and with the faulty proxy before it.

The server runs as its users run it (`python -m vllm.entrypoints.openai.api_server`), on loopback,
with the tiny ALM (a random checkpoint of its architecture where the tiny one is not trained yet).
"""

import os
import random
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import checkpoints
import numpy as np
import pytest
from servers.faulty_proxy import AFTER, BEFORE, FaultyProxy

from ambiemo.draws import Decoding
from ambiemo.engines import Request
from ambiemo.engines.openai import OpenAIEngine
from ambiemo.labels import SIX
from ambiemo.models import MODELS, prompt, render

PROMPT = render(prompt(MODELS["tiny"], "direct"), SIX)
GREEDY = Decoding("greedy", max_tokens=96)
SAMPLES = Decoding("sample", count=3, temperature=0.8, max_tokens=96)


def requests(count: int) -> list[Request]:
    def clip(n: int) -> np.ndarray:
        return np.random.default_rng(n).uniform(-0.5, 0.5, 16000).astype(np.float32)

    return [
        Request(key=f"{n:064x}", prompt=PROMPT, audio=clip(n), seed=n * 7919) for n in range(count)
    ]


@pytest.fixture(scope="module")
def spec():
    return MODELS["tiny"].changed(
        id="served", weights="served", family="openai", engines=("openai",)
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "qwen2_audio"
    tiny = MODELS["tiny"].path()
    if (tiny / "model.safetensors").is_file():
        shutil.copytree(tiny, folder)
        checkpoints.mend(folder)
    else:
        checkpoints.save("qwen2_audio", folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--served-model-name", "served",
        "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager", "--no-enable-chunked-prefill",
        "--max-model-len", "2048", "--generation-config", "auto",
    ]  # fmt: skip
    log = folder.parent / "server.log"
    environment = {
        **os.environ,
        "VLLM_ENABLE_V1_MULTIPROCESSING": "1",
        "HF_HUB_OFFLINE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
    }
    with open(log, "w", encoding="utf-8") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
    try:
        deadline = time.monotonic() + 900
        while True:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(
                    f"vLLM's server did not start: {log.read_text(encoding='utf-8')[-2000:]}"
                )
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
                break
            except (urllib.error.URLError, OSError):
                time.sleep(1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.mark.timeout(1200)
def test_a_real_server_answers_with_likelihoods_and_nested_samples(server, spec):
    engine = OpenAIEngine(spec, base_url=server, timeout_s=300)
    greedy = engine.draw(requests(3), GREEDY)
    few = engine.draw(requests(3), Decoding("sample", count=2, temperature=0.8, max_tokens=96))
    many = engine.draw(requests(3), SAMPLES)
    engine.close()
    for answer in (*greedy, *few, *many):
        assert answer.failure == ""
        assert all(
            c.tokens > 0 and c.log_likelihood is not None and c.log_likelihood < 0
            for c in answer.candidates
        )
        assert answer.extra["served_model"] == ["served"]
    assert [a.candidates for a in few] == [a.candidates[:2] for a in many]
    assert len({answer.candidates[0].log_likelihood for answer in greedy}) == 3


@pytest.mark.timeout(1200)
def test_a_chaos_run_ends_complete_with_each_answer_paid_for_once(server, spec):
    survivable = [fault for fault in (*BEFORE, *AFTER) if fault not in ("401", "hang", "drip")]

    def fault(identity: str, attempt: int) -> str:
        chance = random.Random(f"{identity}{attempt}")
        if attempt == 1 and identity.endswith("#2"):
            return chance.choice(["hang", "drip"])
        return chance.choice(survivable) if chance.random() < 0.5 else ""

    plain = OpenAIEngine(spec, base_url=server, timeout_s=300)
    expected = plain.draw(requests(8), SAMPLES)
    plain.close()
    proxy = FaultyProxy(server, fault, hang_s=30)
    engine = OpenAIEngine(
        spec, base_url=proxy.url, timeout_s=10, attempts=40, backoff_s=0.05, longest_wait_s=1
    )
    answers = engine.draw(requests(8), SAMPLES)
    engine.close()
    proxy.close()
    assert [answer.failure for answer in answers] == [""] * 8
    assert [[c.text for c in a.candidates] for a in answers] == [
        [c.text for c in a.candidates] for a in expected
    ]
    assert set(proxy.asked_upstream.values()) == {1}
    assert len(proxy.asked_upstream) == 24
    assert sum(proxy.faults.values()) - proxy.faults[""] > 8
