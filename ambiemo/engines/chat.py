"""The OpenAI chat protocol as plain functions: what is sent, and what comes back. No network
here.
"""

import io
import json
import math
import re
import wave
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ambiemo.corpora.audio import RATE


class BadAnswer(Exception):
    """A response that is not a chat completion: cut off, not JSON, or without what every completion
    has.
    """


AUDIO: dict[str, Callable[[str], dict[str, Any]]] = {
    "input_audio": lambda wav: {
        "type": "input_audio",
        "input_audio": {"data": wav, "format": "wav"},
    },
    "audio_url": lambda wav: {
        "type": "audio_url",
        "audio_url": {"url": f"data:audio/wav;base64,{wav}"},
    },
}
"""The part of a message that carries the clip, by the name in a model's row (`accepts.audio`)."""


def messages(prompt: str, wav: str, audio: str = "input_audio") -> list[dict[str, Any]]:
    """The chat: one user turn, the clip (base64 wav; "" = left out, for the hash) and then the
    prompt.
    """
    return [{"role": "user", "content": [AUDIO[audio](wav), {"type": "text", "text": prompt}]}]


def canonical(value: object) -> str:
    """JSON with sorted keys and no spaces, the form that is hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def to_wav(audio: np.ndarray) -> bytes:
    """A float clip in [-1, 1] at 16 kHz as a 16-bit wav file; loses nothing of a clip that was
    16-bit before.
    """
    pcm = np.clip(np.rint(np.asarray(audio, dtype=np.float64) * 32768), -32768, 32767).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(pcm.tobytes())
    return buffer.getvalue()


def read_completion(text: str) -> dict[str, Any]:
    """A response body as a chat completion. Raises BadAnswer for anything else."""
    try:
        body = json.loads(text)
    except ValueError:
        raise BadAnswer(f"the response is no JSON: {text[:80]!r}") from None
    if not isinstance(body, dict) or not isinstance(body.get("choices"), list):
        raise BadAnswer(f"the response has no choices: {text[:80]!r}")
    for choice in body["choices"]:
        if not isinstance(choice, dict):
            raise BadAnswer(f"a choice is no object: {text[:80]!r}")
        if filtered(choice):
            continue
        if not isinstance(choice.get("message"), dict):
            raise BadAnswer(f"a choice has no message: {text[:80]!r}")
        if not isinstance(choice["message"].get("content"), str | None):
            raise BadAnswer("the answer is no text")
    return body


def usage(completion: Mapping[str, Any]) -> dict[str, float]:
    """The token counts that the server reports: prompt_tokens, completion_tokens, total_tokens,
    audio_tokens. Values that are not numbers are left out.
    """
    report = completion.get("usage")
    report = report if isinstance(report, dict) else {}
    details = report.get("prompt_tokens_details")
    counts = report | {
        "audio_tokens": details.get("audio_tokens") if isinstance(details, dict) else None
    }
    return {
        name: value
        for name, value in counts.items()
        if type(value) in (int, float) and 0 <= value < math.inf
    }


FILTERED = (
    "content_filter",
    "safety",
    "recitation",
    "blocklist",
    "prohibited_content",
    "spii",
    "language",
)
"""How the finish reason begins, in any case, of an answer that the provider kept back (OpenAI's
one, and Gemini's).
"""


def filtered(choice: Mapping[str, Any]) -> bool:
    """True if the provider kept this answer back; it need not have a message then."""
    return str(choice.get("finish_reason") or "").lower().startswith(FILTERED)


def log_likelihood(choice: dict[str, Any], tokens: int) -> float | None:
    """Sum of the token log-probabilities (nats); None if the server gave none, or not one for every
    token it counted.
    """
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not content or not isinstance(content, list) or len(content) != tokens:
        return None
    try:
        return float(sum(float(token["logprob"]) for token in content))
    except (KeyError, TypeError, ValueError):
        return None


DATED = re.compile(r"|-\d{3,8}|-\d{4}-\d{2}-\d{2}|-\d{2}-\d{2,4}")


def same_model(served: str, asked: str) -> bool:
    """True if a server's model name is the one asked for: equal, or one is a dated snapshot of the
    other.
    """
    if served == asked:
        return True
    one, other = (name.rsplit("/", 1)[-1].lower() for name in (served, asked))
    longer, shorter = sorted((one, other), key=len, reverse=True)
    return longer.startswith(shorter) and bool(DATED.fullmatch(longer.removeprefix(shorter)))


def message_of(body: object) -> str:
    """The message in an error body, however deep the server puts it."""
    while isinstance(body, dict | list):
        first = body[0] if isinstance(body, list) and body else body
        body = (
            next((first[key] for key in ("message", "error", "detail") if first.get(key)), "")
            if isinstance(first, dict)
            else ""
        )
    return str(body or "")
