"""A loopback server that answers what it is asked: shares of the labels in the prompt, or a score.

It hears (the answer depends on the samples), honours seeds, and can be told to be wrong in one way.
"""

import base64
import hashlib
import io
import json
import random
import re
import wave
from typing import Any

from servers.upstream import Refusal, Upstream

DAYS_QUOTA = [
    {
        "error": {
            "code": 429,
            "message": "You exceeded your current quota",
            "details": [{"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel"}]}],
        }
    }
]
REFUSALS: dict[str, tuple[int, object]] = {
    "no such model": (404, {"error": {"code": "model_not_found", "message": "no such model"}}),
    "key refused": (401, {"error": {"message": "Incorrect API key provided"}}),
    "empty account": (
        429,
        {"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}},
    ),
    "daily quota": (429, DAYS_QUOTA),
}
WAYS = (
    "",
    *REFUSALS,
    "no seed",
    "other model",
    "thinks it away",
    "deaf",
    "babbles",
    "forgets seeds",
)


class Listener(Upstream):
    """`way` names how it is wrong (one of WAYS); "" is right."""

    def __init__(self, way: str = "", model: str = "small") -> None:
        assert way in WAYS
        super().__init__(model)
        self.way, self.asked = way, 0

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """The chat completion of one request. Raises Refusal."""
        self.asked += 1
        if self.way in REFUSALS:
            raise Refusal(*REFUSALS[self.way])
        if self.way == "no seed" and "seed" in body:
            raise Refusal(
                400,
                {"error": {"code": 400, "message": 'Invalid JSON payload: Unknown name "seed"'}},
            )
        audio, prompt = body["messages"][0]["content"]
        with wave.open(io.BytesIO(base64.b64decode(audio["input_audio"]["data"]))) as file:
            samples = b"" if self.way == "deaf" else file.readframes(file.getnframes())
        text = prompt["text"]
        source = hashlib.sha256(samples + text.encode("utf-8")).hexdigest()
        if body["temperature"] > 0:
            source += str(self.asked if self.way == "forgets seeds" else body.get("seed"))
        choice = {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": self._said(text, random.Random(source))},
        }
        if self.way == "thinks it away":
            choice |= {"finish_reason": "length", "message": {"role": "assistant", "content": ""}}
        if body.get("logprobs"):
            choice["logprobs"] = {"content": [{"token": "x", "logprob": -0.25} for _ in range(20)]}
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 0,
            "model": "somebody-else" if self.way == "other model" else self.model,
            "choices": [choice],
            "usage": {"prompt_tokens": 130, "completion_tokens": 20, "total_tokens": 150},
        }

    def _said(self, prompt: str, chance: random.Random) -> str:
        if self.way == "babbles":
            return "What a lovely voice."
        if '"score"' in prompt:
            return json.dumps({"score": chance.randrange(11)})
        labels = re.search(r"these emotions: ([^.]+)\.", prompt)
        assert labels is not None, prompt
        shares = {label: chance.random() for label in labels[1].split(", ")}
        return json.dumps({label: one / sum(shares.values()) for label, one in shares.items()})
