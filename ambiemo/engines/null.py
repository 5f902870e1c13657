"""An engine that answers at once without a model: it measures the pipeline, and stands in for a
gated model in a dry rehearsal.

Its answers are a fixed function of the request's seed. They hear nothing, and every table they
reach says engine `null`.
"""

import json
import os
import signal
import time
from collections.abc import Sequence

import numpy as np

from ambiemo.corpora.audio import RATE
from ambiemo.draws import Answer, Candidate, Decoding
from ambiemo.durable import sha256_text
from ambiemo.engines import ModelStopped, Request
from ambiemo.errors import BadInput
from ambiemo.models import ModelSpec


class NullEngine:
    """Answers with a seeded random distribution over the labels the prompt lists (or a score, where
    the prompt asks for one).
    """

    stopped = ""

    def __init__(
        self,
        spec: ModelSpec,
        delay_s: float = 0.0,
        deaf: bool = False,
        load_s: float = 0.0,
        fault: str = "",
        fault_after: int = 0,
    ) -> None:
        """Pretends what a rehearsal needs.

        delay_s, load_s   seconds to think about each request, and to load
        deaf              no clip is opened, to measure the way of ids and paths alone
        fault             how it goes wrong once it was asked `fault_after` requests: "stops" (no request can succeed any more),
                          "fails" (every request), "breaks" (out of memory: the actor ends),
        "killed" (the process is killed)
        """
        if fault not in ("", "stops", "fails", "breaks", "killed"):
            raise BadInput(
                f"engine null: options.fault: found {fault!r}, expected stops, fails, breaks or killed"
            )
        time.sleep(load_s)
        self.spec = spec
        self.delay_s = delay_s
        self.deaf = deaf
        self.fault, self.fault_after = fault, fault_after
        self.asked = 0

    def draw(self, requests: Sequence[Request], decoding: Decoding) -> list[Answer]:
        """One answer per request; candidate i depends on (seed, i) alone."""
        self.asked += len(requests)
        if self.fault and self.asked > self.fault_after:
            return self._wrong(requests, decoding)
        time.sleep(self.delay_s * len(requests))
        return [self._answer(request, decoding) for request in requests]

    def close(self) -> None:
        """Nothing to give back."""

    def _wrong(self, requests: Sequence[Request], decoding: Decoding) -> list[Answer]:
        if self.fault == "stops":
            raise ModelStopped(f"model {self.spec.id}: stopped: a rehearsed stop")
        if self.fault == "breaks":
            raise MemoryError("a rehearsed lack of memory")
        if self.fault == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        return [
            Answer(request.key, (), decoding, failure="a rehearsed failure") for request in requests
        ]

    def _answer(self, request: Request, decoding: Decoding) -> Answer:
        if decoding.kind == "forced":
            candidates = tuple(
                _forced(request, index, label) for index, label in enumerate(request.labels)
            )
        else:
            labels = _labels(request.prompt)
            candidates = tuple(
                _candidate(request, index, labels) for index in range(decoding.count)
            )
        return Answer(
            key=request.key,
            candidates=candidates,
            decoding=decoding,
            rendered_prompt_sha256=sha256_text(request.prompt),
            prompt_tokens=len(request.prompt.split()),
            audio_s=len(request.audio) / RATE,
            truncated=request.truncated,
        )


def _labels(prompt: str) -> list[str]:
    start = prompt.find("these emotions: ") + len("these emotions: ")
    return prompt[start : prompt.find(".", start)].split(", ")


def _forced(request: Request, index: int, label: str) -> Candidate:
    random = np.random.Generator(np.random.Philox(key=[request.seed, index]))
    return Candidate(label, 1, -float(random.exponential(10)), "forced")


def _candidate(request: Request, index: int, labels: list[str]) -> Candidate:
    random = np.random.Generator(np.random.Philox(key=[request.seed, index]))
    if '"score"' in request.prompt:
        text = json.dumps({"score": int(random.integers(0, 11))})
    else:
        text = json.dumps(
            dict(zip(labels, random.dirichlet(np.ones(len(labels))).round(3).tolist(), strict=True))
        )
    return Candidate(
        text=text,
        tokens=len(text) // 4,
        log_likelihood=-float(random.exponential(10)),
        finish_reason="stop",
    )
